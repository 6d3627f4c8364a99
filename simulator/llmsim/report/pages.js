// Draws what the JSON block of a page about several runs asks for. No library, no request.

const KINDS = { lines: Lines, heat: Heat, bars: Bars, points: Points };

function startPlot(spec) {
  const plot = new KINDS[spec.kind](document.getElementById(`plot-${spec.id}`), spec);
  offerNumbers(plot);
}

/** Sorts the rows of a table by a column; numbers by value, cells without one at the end. */
function sortBy(table, column, isDown) {
  const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const number = (text) => (text === "" || Number.isNaN(Number(text)) ? null : Number(text));
  const compare = (a, b) => {
    const [x, y] = [number(key(a)), number(key(b))];
    if (x === null || y === null) return x === y ? key(a).localeCompare(key(b)) * (isDown ? -1 : 1) : x === null ? 1 : -1;
    return isDown ? y - x : x - y;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = html("button", "sort", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const isDown = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      sortBy(table, column, isDown);
    });
  });
}

const data = JSON.parse(document.getElementById("data").textContent);
data.plots.forEach(startPlot);
startTimes(data);
document.querySelectorAll("table.sortable").forEach(makeSortable);

// Draws what the JSON block of a page about several runs asks for. No library, no request.

const KINDS = { lines: Lines, heat: Heat, bars: Bars, points: Points };

/** The numbers of a plot as a table, made when somebody opens it. */
function fillTable(details, plot) {
  const { head, rows } = plot.table();
  details.querySelector(".scroll")?.remove();
  const box = html("div", "scroll tall", "", details);
  Object.assign(box, { tabIndex: 0, ariaLabel: `${plot.spec.title}: numbers` });
  box.setAttribute("role", "region");
  const table = html("table", "numbers", "", box);
  const headRow = html("tr", "", "", html("thead", "", "", table));
  for (const text of head) html("th", "", text, headRow).scope = "col";
  const body = html("tbody", "", "", table);
  for (const row of rows) {
    const line = html("tr", "", "", body);
    row.forEach((text, i) => {
      const cell = html(i ? "td" : "th", "", text, line);
      if (!i) cell.scope = "row";
    });
  }
}

function startPlot(spec) {
  const host = document.getElementById(`plot-${spec.id}`);
  const plot = new KINDS[spec.kind](host, spec);
  const details = host.parentElement.querySelector("details");
  const fill = () => details.open && fillTable(details, plot);
  details.addEventListener("toggle", fill);
  plot.changed = fill;
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

JSON.parse(document.getElementById("data").textContent).plots.forEach(startPlot);
document.querySelectorAll("table.sortable").forEach(makeSortable);

// The numbers of a plot as a table, made when somebody opens it.

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

/** Fills the figure's fold when it is opened, and anew when the plot shows something else. */
function offerNumbers(plot) {
  const details = plot.host.parentElement.querySelector("details");
  const fill = () => details.open && fillTable(details, plot);
  details.addEventListener("toggle", fill);
  plot.changed = fill;
}

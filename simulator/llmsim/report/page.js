// Draws the plots of report.html from the JSON block in the page. No library, no request.

function distributionReadOut(plot, index) {
  const { x, series, xUnit } = plot.spec;
  const share = series[0].y[index];
  const text = share < 99 ? share.toFixed(1) : share < 100 ? share.toFixed(2) : "100";
  return [{ text: `${text}% of ${plot.spec.of}` }, { text: `at most ${figures(x[index])} ${xUnit}`, color: 0 }];
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const host = (spec) => document.getElementById(`plot-${spec.id}`);
  const distributions = data.distributions.filter((spec) => spec.x.length).map((spec) => new Plot(host(spec), { ...spec, fromZero: true, height: 230 }, distributionReadOut));
  distributions.forEach(offerNumbers);
  startTimes(data);
  const button = document.getElementById("log");
  button?.addEventListener("click", () => {
    const log = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(log));
    for (const plot of distributions) {
      plot.log = log;
      plot.draw();
    }
  });
}

start();

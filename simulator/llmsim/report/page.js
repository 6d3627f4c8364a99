// Draws the plots of report.html from the JSON block in the page. No library, no request.

function distributionReadOut(plot, index) {
  const { x, series, xUnit } = plot.spec;
  const share = series[0].y[index];
  const text = share < 99 ? share.toFixed(1) : share < 100 ? share.toFixed(2) : "100";
  return [{ text: `${text}% of ${plot.spec.of}` }, { text: `at most ${figures(x[index])} ${xUnit}`, color: 0 }];
}

function timeReadOut(plot, index) {
  const { x, xUnit } = plot.spec;
  const lines = [{ text: `${figures(x[index])} to ${figures(x[index + 1])} ${xUnit}` }];
  for (const { name, x: times } of plot.spec.events) {
    const number = times.filter((time) => time >= x[index] && time < x[index + 1]).length;
    if (number) lines.push({ text: `${number} ${number === 1 ? "instance" : "instances"} ${name}` });
  }
  for (const { spec } of plot.peers) {
    for (const { name, y, color } of spec.series) lines.push({ text: `${name} ${figures(y[index])}${spec.yUnit}`, color });
  }
  return lines;
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const host = (spec) => document.getElementById(`plot-${spec.id}`);
  const distributions = data.distributions.filter((spec) => spec.x.length).map((spec) => new Plot(host(spec), { ...spec, fromZero: true, height: 230 }, distributionReadOut));
  const times = data.times.map((spec) => new Plot(host(spec), { ...spec, ...data.time, height: 180 }, timeReadOut));
  for (const plot of times) plot.peers = times;
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

// Values over time, one panel above another, with one cursor for all of them.

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

function startTimes(data) {
  const host = (spec) => document.getElementById(`plot-${spec.id}`);
  const times = (data.times ?? []).map((spec) => new Plot(host(spec), { ...spec, ...data.time, height: 180 }, timeReadOut));
  for (const plot of times) {
    plot.peers = times;
    offerNumbers(plot);
  }
}

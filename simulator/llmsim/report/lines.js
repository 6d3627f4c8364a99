// Lines of several settings over shared stops: curves over a rate, or distributions over shared levels.

/**
 * `spec`: stops (numbers, ascending), along ("x": stops lie along x and values along y; "y": the other way round),
 * groups [{name, series, knees}] of which one is drawn, its series [{name, color, dash, shape, values, low, high,
 * saturated}] with null where there is no value, its knees [{series, at, value, text}], unit of values, stopName and stopUnit (for the read-out), xLabel, yLabel, isLog, canLog, and optionally stopsLog, most (the end of
 * the value axis), limit {value, text}, mark {at, text} (a stop with a name), hasMarks, seriesName (what the names of the lines are values of).
 */
class Lines extends Chart {
  constructor(host, spec) {
    super(host, spec);
    this.upright = spec.along === "x";
    this.choose(0);
    if (spec.groups.length > 1) this.addChooser("For", spec.groups.map(({ name }) => name), (index) => this.choose(index));
    this.begin();
  }

  choose(index) {
    Object.assign(this.spec, this.spec.groups[index], { name: undefined });
    this.hidden.clear();
    this.addLegend();
  }

  paint() {
    const { left, right, top, bottom } = this.area;
    const [stopsLog, valuesLog] = [Boolean(this.spec.stopsLog), Boolean(this.log)];
    const [xLog, yLog] = this.upright ? [stopsLog, valuesLog] : [valuesLog, stopsLog];
    const [x, y] = this.upright ? [this.stopDomain(), this.valueDomain()] : [this.valueDomain(), this.stopDomain()];
    this.px = axis(...x, left, right, xLog, this.upright && this.spec.stops.every(Number.isInteger));
    this.py = axis(...y, bottom, top, yLog);
    this.drawAxes(xLog, yLog);
    const curves = this.clipped();
    for (const series of this.shown()) this.drawBandOf(series, curves);
    this.drawLimit();
    this.drawMark();
    for (const series of this.shown()) this.drawLine(series, curves);
    this.drawKnees();
  }

  stopDomain() {
    const { stops, along, stopsLog } = this.spec;
    if (along === "y") return [0, 100];
    const [low, high] = [stops[0], stops[stops.length - 1]];
    if (low === high) return [low - 0.5, high + 0.5];
    if (stopsLog) return [low / 1.1, high * 1.1];
    return [low >= 0 && low < 0.4 * high ? 0 : low - 0.02 * (high - low), high + 0.02 * (high - low)];
  }

  /** From zero, or from the least positive value; a target far above every line does not squeeze them. */
  valueDomain() {
    const { limit, most } = this.spec;
    const all = this.shown().flatMap(({ values, high }) => [...values, ...high]).filter((value) => value !== null);
    const top = all.reduce((a, b) => Math.max(a, b), 0);
    const end = limit && limit.value > top && limit.value <= 3 * top ? limit.value : top;
    if (!this.log) return [0, most ?? (end > 0 ? end * 1.06 : 1)];
    const low = all.reduce((a, b) => (b > 0 ? Math.min(a, b) : a), Infinity);
    return low < Infinity ? [low / 1.15, Math.max(end, low * 1.5) * 1.15] : [0.1, 1];
  }

  /** Where a value at a stop lies: [x, y]. */
  at(index, value) {
    const stop = this.spec.stops[index];
    const seen = this.log ? Math.max(value, this.upright ? this.py.low : this.px.low) : value;
    return this.upright ? [this.px(stop), this.py(seen)] : [this.px(seen), this.py(stop)];
  }

  drawBandOf({ color, values, low, high }, parent) {
    const text = (found) => found.map((point) => point.map((part) => part.toFixed(1)).join(" "));
    for (const run of runsOf(values.map((value, i) => (value === null || low[i] === null ? null : i)))) {
      const there = text(run.map((i) => this.at(i, high[i])));
      const back = text(run.map((i) => this.at(i, low[i])).reverse());
      if (run.length > 1) make("path", { class: `ribbon s${color}`, d: `M${there.join("L")}L${back.join("L")}z` }, parent);
      else make("path", { class: `whisker s${color}`, d: `M${there[0]}L${back[0]}` }, parent);
    }
  }

  drawLine({ color, dash, shape, values, saturated }, parent) {
    for (const run of runsOf(values.map((value, i) => (value === null ? null : i)))) {
      const d = run.map((i) => this.at(i, values[i]).map((part) => part.toFixed(1)).join(" "));
      make("path", { class: `curve s${color} d${dash}`, d: `M${d.join("L")}` }, parent);
      for (const i of this.spec.hasMarks ? run : []) {
        const kind = saturated[i] ? "hollow" : "solid";
        make("path", { class: `${kind} s${color}`, d: markPath(shape, ...this.at(i, values[i]), 3) }, this.svg);
      }
    }
  }

  drawLimit() {
    const { limit } = this.spec;
    if (!limit) return;
    const { left, right, top, bottom } = this.area;
    const scale = this.upright ? this.py : this.px;
    const beyond = limit.value > scale.high;
    const text = `${limit.text}${beyond ? (this.upright ? " ↑" : " →") : ""}`;
    const at = scale(Math.max(limit.value, scale.low));
    const ends = this.upright ? { x1: left, x2: right, y1: at, y2: at } : { x1: at, x2: at, y1: top, y2: bottom };
    if (!beyond) make("line", { class: "limit", ...ends }, this.svg);
    make("text", { class: "limit-name", ...this.limitPlace(at, text.length * 7, beyond) }, this.svg).textContent = text;
  }

  drawMark() {
    const { mark } = this.spec;
    if (!mark) return;
    const { left, right, top, bottom } = this.area;
    const x = this.px(mark.at);
    const isLeft = x > (left + right) / 2;
    make("line", { class: "answer", x1: x, x2: x, y1: top, y2: bottom }, this.svg);
    const place = { x: isLeft ? x - 5 : x + 5, y: bottom - 6, "text-anchor": isLeft ? "end" : "start" };
    make("text", { class: "mark-name", ...place }, this.svg).textContent = mark.text;
  }

  /** Over the plot; or at a line across it, at the end and on the side where no curve runs through the name. */
  limitPlace(at, width, beyond) {
    const { left, right, top } = this.area;
    if (beyond) return { x: right, y: top - 9, "text-anchor": "end" };
    if (!this.upright) return { x: Math.min(right, Math.max(left + 60 + width / 2, at + width / 2)), y: top - 9, "text-anchor": "end" };
    const places = [[left + 6, at - 5], [right - width - 4, at - 5], [left + 6, at + 14], [right - width - 4, at + 14]];
    const isFree = ([x, y]) => y - 10 > top - 8 && !this.shown().some((series) => this.crosses(series, x, x + width, y - 12, y + 4));
    const [x, y] = places.find(isFree) ?? places[0];
    return { x, y };
  }

  /** Whether a line runs through a box. */
  crosses({ values }, left, right, top, bottom) {
    const points = values.flatMap((value, i) => (value === null ? [] : [this.at(i, value)]));
    return points.slice(1).some(([x, y], i) => {
      const [a, b] = points[i];
      const [from, to] = [Math.max(a, left), Math.min(x, right)];
      if (from > to) return false;
      const height = (at) => b + ((y - b) * (at - a)) / (x - a || 1);
      return Math.min(height(from), height(to)) < bottom && Math.max(height(from), height(to)) > top;
    });
  }

  /** A ring around the knee of each line; its name only where there is room for it. */
  drawKnees() {
    const knees = this.spec.knees.filter(({ series }) => !this.hidden.has(series));
    for (const { series, at, value, text } of knees) {
      const [cx, cy] = this.at(this.spec.stops.indexOf(at), value);
      const ring = make("circle", { class: `knee s${this.spec.series[series].color}`, cx, cy, r: 8 }, this.svg);
      make("title", {}, ring).textContent = text;
      if (knees.length > 1) continue;
      const isLeft = cx > (this.area.left + this.area.right) / 2;
      make("text", { class: "mark-name", x: isLeft ? cx - 12 : cx + 12, y: isLeft ? cy - 8 : cy + 18, "text-anchor": isLeft ? "end" : "start" }, this.svg).textContent = "knee";
    }
  }

  stops() {
    return this.spec.stops.length;
  }

  stopAt(x, y) {
    const places = this.spec.stops.map((stop) => (this.upright ? Math.abs(this.px(stop) - x) : Math.abs(this.py(stop) - y)));
    return places.indexOf(Math.min(...places));
  }

  mark(index) {
    const { left, right, top, bottom } = this.area;
    const stop = this.spec.stops[index];
    const line = this.upright ? [this.px(stop), top, this.px(stop), bottom] : [left, this.py(stop), right, this.py(stop)];
    this.hair(...line);
    let most = this.upright ? this.px(stop) : left;
    for (const { color, values } of this.shown()) {
      if (values[index] === null) continue;
      const [cx, cy] = this.at(index, values[index]);
      make("circle", { class: `dot s${color}`, cx, cy, r: 4 }, this.svg);
      most = Math.max(most, cx);
    }
    return Math.min(most, right);
  }

  readOut(index) {
    const { stops, stopName, stopUnit, unit, knees, seriesName } = this.spec;
    const lines = [{ text: `${stopName} ${this.upright ? withUnit(stops[index], stopUnit) : ""}`.trim() }];
    if (!this.upright) lines[0].text = `${withUnit(stops[index], "%")} ${stopName}`;
    this.spec.series.forEach(({ name, color, values, low, high, saturated }, i) => {
      if (this.hidden.has(i) || values[index] === null) return;
      const knee = knees.some((one) => one.series === i && one.at === stops[index]);
      const more = `${saturated[index] ? ", saturated" : ""}${knee ? ", knee" : ""}`;
      lines.push({ text: `${seriesName ? `${seriesName} ` : ""}${name}: ${withInterval(values[index], low[index], high[index], unit)}${more}`, color });
    });
    return lines;
  }

  /** The same numbers as a table. */
  table() {
    const { stops, series, stopName, stopUnit, unit, seriesName } = this.spec;
    const first = (stop) => (this.upright ? withUnit(stop, stopUnit) : withUnit(stop, "%"));
    const cell = ({ values, low, high, saturated }, i) => withInterval(values[i], low[i], high[i], unit) + (saturated[i] ? ", saturated" : "");
    return { head: [stopName, ...series.map(({ name }) => (seriesName ? `${seriesName} ${name}` : name))], rows: stops.map((stop, i) => [first(stop), ...series.map((one) => cell(one, i))]) };
  }
}

/** Stretches of neighbours that are not null. */
function runsOf(found) {
  const runs = [[]];
  for (const one of found) {
    if (one !== null) runs[runs.length - 1].push(one);
    else if (runs[runs.length - 1].length) runs.push([]);
  }
  return runs.filter((run) => run.length);
}

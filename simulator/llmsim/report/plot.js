// A distribution or values over time, as steps.

/**
 * One panel. `spec`: title, x, series [{name, y}], xLabel, yLabel, height,
 * and optionally limit, marks, band, bound, yMax,
 * events ([{name, x}]: what happened when),
 * fromZero (a distribution: it rises from 0 and holds its last value). Series are steps: y[i] holds from x[i] on.
 */
class Plot extends Chart {
  constructor(host, spec, readOut) {
    super(host, spec);
    this.log = false;
    this.readOut = (index) => readOut(this, index);
    this.addLegend();
    this.begin();
  }

  /** What is to be seen along x: [low, high]. */
  xDomain() {
    const { x, bound, limit } = this.spec;
    const top = x[x.length - 1];
    if (!this.log) return [this.spec.x0 ?? 0, bound ?? (top > 0 ? top : 1)];
    const low = x.find((value) => value > 0) ?? 0.1;
    const high = Math.max(top, limit ?? 0, low * 1.5);
    return [Math.min(low, limit ?? low) / 1.15, high * 1.15];
  }

  yDomain() {
    if (this.spec.yMax) return [0, this.spec.yMax];
    const top = this.shown().reduce((most, series) => series.y.reduce((a, b) => Math.max(a, b), most), 0);
    return [0, top > 0 ? top * 1.06 : 1];
  }

  paint() {
    const { left, right, top, bottom } = this.area;
    this.px = axis(...this.xDomain(), left, right, this.log);
    this.py = axis(...this.yDomain(), bottom, top, false);
    this.drawBand();
    this.drawAxes(this.log, false);
    const curves = this.clipped();
    for (const series of this.shown()) make("path", { class: `curve s${series.color}`, d: this.path(series.y) }, curves);
    this.drawLimit();
    this.drawMarks();
    this.drawEvents();
  }

  path(y) {
    const { x, fromZero } = this.spec;
    const at = (value) => value.toFixed(1);
    const left = (i) => at(this.px(this.log ? Math.max(x[i], this.px.low) : x[i]));
    const parts = [`M${fromZero ? at(this.area.left) : left(0)} ${at(this.py(fromZero ? 0 : y[0]))}`];
    y.forEach((value, i) => parts.push(`H${left(i)}V${at(this.py(value))}`));
    parts.push(`H${fromZero ? at(this.area.right) : left(x.length - 1)}`);
    return parts.join("");
  }

  drawBand() {
    const { band } = this.spec;
    if (!band) return;
    const { left, right, top, bottom } = this.area;
    const from = Math.max(left, this.px(band.from));
    const to = Math.min(right, this.px(band.to));
    make("rect", { class: "band", x: from, y: top, width: Math.max(0, to - from), height: bottom - top }, this.svg);
    if (to - from > 90) make("text", { class: "band-name", x: to - 5, y: top - 7, "text-anchor": "end" }, this.svg).textContent = band.name;
  }

  drawLimit() {
    const { limit, xUnit } = this.spec;
    if (limit === null || limit === undefined) return;
    const { right, top, bottom } = this.area;
    const x = this.px(limit);
    const beyond = x > right;
    if (!beyond) make("line", { class: "limit", x1: x, x2: x, y1: top - 4, y2: bottom }, this.svg);
    const text = `SLO ${limit.toLocaleString("en-US")} ${xUnit}${beyond ? " →" : ""}`;
    make("text", { class: "limit-name", ...this.limitPlace(limit, x, text.length * 7) }, this.svg).textContent = text;
  }

  /** Where the curve is not: below it on the right of the limit, above it on the left, else over the plot. */
  limitPlace(limit, x, width) {
    const { left, right, top, bottom } = this.area;
    if (x > right) return { x: right, y: bottom - 7, "text-anchor": "end" };
    const { x: values, series } = this.spec;
    const share = values[0] > limit ? 0 : series[0].y[lastNotAbove(values, limit)];
    if (share >= 50 && x + 6 + width < right) return { x: x + 6, y: bottom - 7, "text-anchor": "start" };
    if (share < 50 && x - 6 - width > left) return { x: x - 6, y: top + 12, "text-anchor": "end" };
    return x > (left + right) / 2 ? { x: right, y: top - 10, "text-anchor": "end" } : { x: Math.max(x, left + 50), y: top - 10, "text-anchor": "start" };
  }

  /** Percentiles: a dot each, and names where they keep apart. */
  drawMarks() {
    const { right } = this.area;
    for (const { name, x, y, named } of this.spec.marks ?? []) {
      const [cx, cy] = [this.px(this.log ? Math.max(x, this.px.low) : x), this.py(y)];
      if (cx > right) continue;
      make("title", {}, make("circle", { class: "mark", cx, cy, r: 3.5 }, this.svg)).textContent = `${name} ${figures(x)} ${this.spec.xUnit}`;
      if (!named) continue;
      const text = `${name}  ${figures(x)}`;
      const fits = cx + 12 + text.length * 6.2 < right + this.margin.right;
      const place = fits ? { x: cx + 8, y: cy + 14 } : { x: cx - 8, y: cy - 3, "text-anchor": "end" };
      make("text", { class: "mark-name", ...place }, this.svg).textContent = text;
    }
  }

  /** A triangle over the plot for each event. */
  drawEvents() {
    const { top } = this.area;
    for (const { name, x } of this.spec.events ?? []) {
      for (const time of x) {
        const at = this.px(time);
        const shape = make("path", { class: "event", d: `M${(at - 4).toFixed(1)} ${top - 8}h8l-4 7z` }, this.svg);
        make("title", {}, shape).textContent = `an instance ${name} at ${figures(time)} ${this.spec.xUnit}`;
      }
    }
  }

  stopAt(x) {
    const { left, right } = this.area;
    const share = (x - left) / (right - left);
    const { low, high } = this.px;
    const value = this.log ? low * (high / low) ** share : low + (high - low) * share;
    return lastNotAbove(this.spec.x.slice(0, this.stops()), value);
  }

  /** How many values of x a cursor can stand on: the last edge of a time axis is not one. */
  stops() {
    return this.spec.series[0].y.length;
  }

  /** A distribution: value by share; over time: a row for each interval. */
  table() {
    const { x, series, xUnit, yUnit, fromZero } = this.spec;
    if (fromZero) return { head: ["% of requests", `at most (${xUnit})`], rows: x.map((value, i) => [withUnit(series[0].y[i], "%"), figures(value)]) };
    const row = (_, i) => [`${figures(x[i])} to ${figures(x[i + 1])} ${xUnit}`, ...series.map(({ y }) => `${figures(y[i])}${yUnit}`)];
    return { head: ["time", ...series.map(({ name }) => name)], rows: series[0].y.map(row) };
  }

  mark(index) {
    const { left, right, top, bottom } = this.area;
    const value = this.spec.x[index];
    const x = Math.min(right, Math.max(left, this.px(this.log ? Math.max(value, this.px.low) : value)));
    this.hair(x, top, x, bottom);
    for (const series of this.shown()) make("circle", { class: `dot s${series.color}`, cx: x, cy: this.py(series.y[index]), r: 3.5 }, this.svg);
    return x;
  }
}

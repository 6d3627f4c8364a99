// One plot of report.html, in plain SVG.

const MARGIN = { top: 26, right: 14, bottom: 38, left: 46 };

/**
 * One panel. `spec`: title, x, series [{name, y}], xLabel, yLabel, height,
 * and optionally limit, marks, band, bound, yMax,
 * events ([{name, x}]: what happened when),
 * fromZero (a distribution: it rises from 0 and holds its last value). Series are steps: y[i] holds from x[i] on.
 */
class Plot {
  constructor(host, spec, readOut) {
    Object.assign(this, { host, spec, readOut, log: false, cursor: null, peers: [this] });
    this.hidden = new Set();
    this.svg = make("svg", { class: "plot", tabindex: "0", role: "slider", "aria-label": `${spec.title}: ${spec.about}` });
    this.tip = html("div", "tip", "");
    this.tip.hidden = true;
    host.append(this.svg, this.tip);
    if (spec.series.length > 1) this.addLegend();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(host);
    this.draw();
  }

  addLegend() {
    const legend = this.host.parentElement.querySelector(".legend");
    this.spec.series.forEach((series, index) => {
      const button = html("button", `key s${series.color}`, series.name, legend);
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        if (!this.hidden.delete(index)) this.hidden.add(index);
        button.setAttribute("aria-pressed", String(!this.hidden.has(index)));
        this.draw();
      });
    });
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
    const shown = this.spec.series.filter((_, index) => !this.hidden.has(index));
    const top = shown.reduce((most, series) => series.y.reduce((a, b) => Math.max(a, b), most), 0);
    return [0, top > 0 ? top * 1.06 : 1];
  }

  draw() {
    const width = Math.max(220, Math.floor(this.host.clientWidth));
    const right = width - MARGIN.right;
    const height = this.spec.height;
    const bottom = height - MARGIN.bottom;
    this.px = axis(...this.xDomain(), MARGIN.left, right, this.log);
    this.py = axis(...this.yDomain(), bottom, MARGIN.top, false);
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("height", height);
    this.area = { left: MARGIN.left, right, top: MARGIN.top, bottom };
    this.drawBand();
    this.drawAxes();
    const clip = `clip-${this.spec.id}`;
    make("rect", { x: MARGIN.left, y: MARGIN.top - 3, width: right - MARGIN.left, height: bottom - MARGIN.top + 6 },
      make("clipPath", { id: clip }, this.svg));
    const curves = make("g", { "clip-path": `url(#${clip})` }, this.svg);
    this.spec.series.forEach((series, index) => {
      if (!this.hidden.has(index)) make("path", { class: `curve s${series.color}`, d: this.path(series.y) }, curves);
    });
    this.drawLimit();
    this.drawMarks();
    this.drawEvents();
    this.hair = make("line", { class: "hair", y1: MARGIN.top, y2: bottom, visibility: "hidden" }, this.svg);
    if (this.cursor !== null) this.showCursor(this.cursor, false);
    else this.describe(0);
  }

  drawAxes() {
    const { left, right, top, bottom } = this.area;
    const axes = make("g", { class: "axes", "aria-hidden": "true" }, this.svg);
    for (const value of this.py.ticks(4)) {
      const y = this.py(value);
      make("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }, axes);
      make("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, axes).textContent = tickText(value);
    }
    let free = -Infinity;
    for (const value of this.px.ticks(Math.floor((right - left) / (this.log ? 36 : 64)))) {
      const label = tickText(value);
      const half = label.length * 3.4;
      const x = this.px(value);
      make("line", { class: "tick", x1: x, x2: x, y1: bottom, y2: bottom + 4 }, axes);
      if (x - half < free || x + half > right + MARGIN.right) continue;
      make("text", { x, y: bottom + 17, "text-anchor": "middle" }, axes).textContent = label;
      free = x + half + 8;
    }
    make("line", { class: "base", x1: left, x2: right, y1: bottom, y2: bottom }, axes);
    make("text", { class: "label", x: 0, y: top - 14 }, axes).textContent = this.spec.yLabel;
    make("text", { class: "label", x: right, y: bottom + 33, "text-anchor": "end" }, axes).textContent = this.spec.xLabel;
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
    const { left, right, top, bottom } = this.area;
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
      const fits = cx + 12 + text.length * 6.2 < right + MARGIN.right;
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

  listen() {
    const point = (event) => {
      const box = this.svg.getBoundingClientRect();
      const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
      const { low, high } = this.px;
      const value = this.log ? low * (high / low) ** share : low + (high - low) * share;
      this.moveTo(lastNotAbove(this.spec.x.slice(0, this.stops()), value));
    };
    this.svg.addEventListener("pointermove", point);
    this.svg.addEventListener("pointerdown", point);
    this.svg.addEventListener("pointerleave", () => this.moveTo(null));
    this.svg.addEventListener("blur", () => this.moveTo(null));
    this.svg.addEventListener("keydown", (event) => {
      const last = this.stops() - 1;
      const now = this.cursor ?? -1;
      const pace = event.shiftKey ? Math.ceil(last / 20) : 1;
      const to = { ArrowRight: now + pace, ArrowUp: now + pace, ArrowLeft: now - pace, ArrowDown: now - pace, Home: 0, End: last, Escape: null }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.moveTo(to === null ? null : Math.max(0, Math.min(last, to)));
    });
  }

  /** How many values of x a cursor can stand on: the last edge of a time axis is not one. */
  stops() {
    return this.spec.series[0].y.length;
  }

  moveTo(index) {
    for (const peer of this.peers) {
      peer.cursor = index;
      if (index === null) peer.hideCursor();
      else peer.showCursor(index, peer === this);
    }
  }

  hideCursor() {
    this.hair.setAttribute("visibility", "hidden");
    this.tip.hidden = true;
    this.svg.querySelectorAll(".dot").forEach((dot) => dot.remove());
  }

  showCursor(index, withTip) {
    this.hideCursor();
    const { left, right } = this.area;
    const value = this.spec.x[index];
    const x = Math.min(right, Math.max(left, this.px(this.log ? Math.max(value, this.px.low) : value)));
    this.hair.setAttribute("x1", x);
    this.hair.setAttribute("x2", x);
    this.hair.setAttribute("visibility", "visible");
    this.spec.series.forEach((series, i) => {
      if (!this.hidden.has(i)) make("circle", { class: `dot s${series.color}`, cx: x, cy: this.py(series.y[index]), r: 3.5 }, this.svg);
    });
    this.describe(index);
    if (!withTip) return;
    this.tip.replaceChildren();
    this.readOut(this, index).forEach((line) => html("div", line.color === undefined ? "" : `line s${line.color}`, line.text, this.tip));
    this.tip.hidden = false;
    const scale = this.svg.getBoundingClientRect().width / (right + MARGIN.right);
    const room = this.host.clientWidth - this.tip.offsetWidth - 4;
    const wanted = x * scale + 14 <= room ? x * scale + 14 : x * scale - 14 - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, wanted))}px`;
  }

  describe(index) {
    this.svg.setAttribute("aria-valuemin", "0");
    this.svg.setAttribute("aria-valuemax", String(this.stops() - 1));
    this.svg.setAttribute("aria-valuenow", String(index));
    this.svg.setAttribute("aria-valuetext", this.readOut(this, index).map((line) => line.text).join(", "));
  }
}


// A heat map: two axes, one metric at a time, chosen from a list.

/** Steps of cividis, a colour map made for readers with colour-blindness too (Nuñez, Anderton, Renslow 2018). */
const COLD_TO_HOT = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const SMALLEST_TEXT = { width: 38, height: 18 };

/** Colour at a share of the scale, and the kind of ink that is readable on it. */
function heatColor(share) {
  const place = Math.max(0, Math.min(1, share)) * (COLD_TO_HOT.length - 1);
  const index = Math.min(COLD_TO_HOT.length - 2, Math.floor(place));
  const part = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mix = [0, 1, 2].map((i) => Math.round(part(COLD_TO_HOT[index], i) * (1 - place + index) + part(COLD_TO_HOT[index + 1], i) * (place - index)));
  const light = mix.map((value) => (value / 255) ** 2.2);
  return [`rgb(${mix.join(",")})`, 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.18 ? "dark" : "light"];
}

/**
 * `spec`: xs, ys (texts), xLabel, yLabel, metrics [{name, unit, better, limit}], slices [{name, values: one list per
 * metric, saturated: [index], problems: {index: text}}]; values by row, null where there is none.
 */
class Heat extends Chart {
  constructor(host, spec) {
    super(host, spec);
    [this.metric, this.slice] = [0, 0];
    if (spec.metrics.length > 1) this.addChooser("Metric", spec.metrics.map(({ name }) => name), (index) => (this.metric = index));
    if (spec.slices.length > 1) this.addChooser("Others", spec.slices.map(({ name }) => name), (index) => (this.slice = index));
    this.begin();
  }

  layout(width) {
    const { xs, ys } = this.spec;
    const longest = ys.reduce((most, text) => Math.max(most, text.length), 0);
    const left = Math.max(46, Math.min(width * 0.3, 14 + longest * 7));
    this.margin = { top: 26, right: 14, bottom: 84, left };
    const cell = Math.max(12, Math.min(34, (width - left) / xs.length));
    this.height = Math.round(this.margin.top + this.margin.bottom + ys.length * Math.max(cell, ys.length <= 20 ? 24 : 12));
  }

  now() {
    const { metrics, slices } = this.spec;
    const slice = slices[this.slice];
    return { ...metrics[this.metric], values: slice.values[this.metric], saturated: new Set(slice.saturated), problems: slice.problems };
  }

  paint() {
    const { values } = this.now();
    const known = values.filter((value) => value !== null);
    const [low, high] = [known.reduce((a, b) => Math.min(a, b), Infinity), known.reduce((a, b) => Math.max(a, b), -Infinity)];
    const isLog = low > 0 && high > 20 * low;
    const map = isLog ? Math.log : (value) => value;
    this.scale = { low, high, isLog, share: (value) => (high > low ? (map(value) - map(low)) / (map(high) - map(low)) : 0.5) };
    this.drawCells();
    this.drawNames();
    this.drawFrontier();
    if (known.length) this.drawScale();
  }

  /** Corner and size of a cell, the first row at the bottom. */
  box(index) {
    const { left, right, top, bottom } = this.area;
    const [columns, rows] = [this.spec.xs.length, this.spec.ys.length];
    const [width, height] = [(right - left) / columns, (bottom - top) / rows];
    return { x: left + (index % columns) * width, y: bottom - (Math.floor(index / columns) + 1) * height, width, height };
  }

  drawCells() {
    const { values, saturated, problems } = this.now();
    const cells = make("g", { "aria-hidden": "true" }, this.svg);
    values.forEach((value, index) => {
      const { x, y, width, height } = this.box(index);
      const inner = { x: x + 0.5, y: y + 0.5, width: Math.max(1, width - 1), height: Math.max(1, height - 1) };
      const [fill, ink] = value === null ? [] : heatColor(this.scale.share(value));
      make("rect", { class: value === null ? "cell none" : "cell", ...inner, ...(fill ? { fill } : {}) }, cells);
      const fold = Math.min(9, height / 2, width / 2);
      if (saturated.has(index)) make("path", { class: `corner ink-${ink}`, d: `M${x + width - 0.5} ${y + 0.5}v${fold}l${-fold} ${-fold}z` }, cells);
      if (width < SMALLEST_TEXT.width || height < SMALLEST_TEXT.height) return;
      const text = value !== null ? tickText(Number(value.toPrecision(3))) : index in problems ? "failed" : "";
      make("text", { class: `cell-text ink-${ink}`, x: x + width / 2, y: y + height / 2 + 4, "text-anchor": "middle" }, cells).textContent = text;
    });
  }

  drawNames() {
    const { xs, ys, xLabel, yLabel } = this.spec;
    const { left, right, top, bottom } = this.area;
    const axes = make("g", { class: "axes", "aria-hidden": "true" }, this.svg);
    const [width, height] = [(right - left) / xs.length, (bottom - top) / ys.length];
    const longest = Math.min(Math.max(14, Math.floor(width / 7) - 1), xs.reduce((most, text) => Math.max(most, text.length), 0));
    const stride = Math.ceil((longest * 7 + 8) / width);
    xs.forEach((text, i) => {
      if (i % stride === 0) make("text", { x: left + (i + 0.5) * width, y: bottom + 17, "text-anchor": "middle" }, axes).textContent = cut(text, longest);
    });
    const rowStride = Math.ceil(15 / height);
    ys.forEach((text, i) => {
      if (i % rowStride === 0) make("text", { x: left - 8, y: bottom - (i + 0.5) * height + 4, "text-anchor": "end" }, axes).textContent = cut(text, Math.floor((left - 12) / 6.6));
    });
    make("text", { class: "label", x: 0, y: top - 14 }, axes).textContent = yLabel;
    make("text", { class: "label", x: right, y: bottom + 35, "text-anchor": "end" }, axes).textContent = xLabel;
  }

  /** The border between cells within the target and beyond it. */
  drawFrontier() {
    const { values, limit, better } = this.now();
    if (limit === null || limit === undefined) return;
    const columns = this.spec.xs.length;
    const within = (value) => value !== null && (better === "higher" ? value >= limit : value <= limit);
    const lines = [];
    values.forEach((value, index) => {
      const { x, y, width, height } = this.box(index);
      const rightOf = (index + 1) % columns ? index + 1 : -1;
      const above = index + columns < values.length ? index + columns : -1;
      if (rightOf >= 0 && within(value) !== within(values[rightOf])) lines.push(`M${x + width} ${y}v${height}`);
      if (above >= 0 && within(value) !== within(values[above])) lines.push(`M${x} ${y}h${width}`);
    });
    make("path", { class: "frontier under", d: lines.join("") }, this.svg);
    make("path", { class: "frontier", d: lines.join("") }, this.svg);
  }

  drawScale() {
    const { unit } = this.now();
    const { left, right, bottom } = this.area;
    const group = make("g", { class: "axes", "aria-hidden": "true" }, this.svg);
    const [width, y] = [Math.min(220, right - left), bottom + 48];
    for (let i = 0; i < 44; i += 1) make("rect", { x: left + (i * width) / 44, y, width: width / 44 + 0.5, height: 9, fill: heatColor((i + 0.5) / 44)[0] }, group);
    const { low, high, isLog } = this.scale;
    make("text", { x: left, y: y + 24 }, group).textContent = withUnit(low, unit);
    if (high > low) make("text", { x: left + width, y: y + 24, "text-anchor": "end" }, group).textContent = withUnit(high, unit);
    if (isLog && width > 150) make("text", { x: left + width / 2, y: y + 24, "text-anchor": "middle" }, group).textContent = "log";
  }

  stops() {
    return this.spec.xs.length * this.spec.ys.length;
  }

  stopAt(x, y) {
    const { left, right, top, bottom } = this.area;
    const [columns, rows] = [this.spec.xs.length, this.spec.ys.length];
    const pick = (share, number) => Math.max(0, Math.min(number - 1, Math.floor(share * number)));
    return pick((x - left) / (right - left), columns) + columns * pick((bottom - y) / (bottom - top), rows);
  }

  keyTo(key, now, isFast) {
    const columns = this.spec.xs.length;
    const at = now ?? 0;
    if (now === null && key in NEXT) return 0;
    const column = at % columns;
    const to = { ArrowRight: column + 1 < columns ? at + 1 : at, ArrowLeft: column ? at - 1 : at, ArrowUp: at + columns, ArrowDown: at - columns }[key];
    if (to === undefined) return super.keyTo(key, now, isFast);
    return to >= 0 && to < this.stops() ? to : at;
  }

  mark(index) {
    const { x, y, width, height } = this.box(index);
    make("rect", { class: "hair cursor", x, y, width, height }, this.svg);
    return x + width;
  }

  readOut(index) {
    const { xs, ys, xLabel, yLabel, metrics, slices } = this.spec;
    const { saturated, problems } = slices[this.slice];
    const lines = [{ text: `${xLabel} ${xs[index % xs.length]}` }, { text: `${yLabel} ${ys[Math.floor(index / xs.length)]}` }];
    if (index in problems) return [...lines, { text: `failed: ${problems[index]}` }];
    const { name, unit, values } = this.now();
    lines.push({ text: `${metrics.length ? name : ""} ${withUnit(values[index], unit)}` });
    if (saturated.includes(index)) lines.push({ text: "saturated" });
    return lines;
  }

  table() {
    const { xs, ys, xLabel, yLabel } = this.spec;
    const { values, unit, saturated, problems } = this.now();
    const cell = (index) => (index in problems ? "failed" : withUnit(values[index], unit) + (saturated.has(index) ? ", saturated" : ""));
    return { head: [`${yLabel} \\ ${xLabel}`, ...xs], rows: ys.map((name, row) => [name, ...xs.map((_, column) => cell(row * xs.length + column))]) };
  }
}

// Differences with their intervals around zero, a row each.

/** `spec`: rows [{name, group, value, low, high, tone, word}] in percent, xLabel; grouped rows follow each other. */
class Bars extends Chart {
  constructor(host, spec) {
    super(host, spec);
    this.begin();
  }

  layout(width) {
    const { rows } = this.spec;
    this.isNarrow = width < 560;
    const longest = rows.reduce((most, { name }) => Math.max(most, name.length), 0);
    const beside = rows.reduce((most, { text, word }) => Math.max(most, text.length + word.length + 1), 0);
    const left = this.isNarrow ? 8 : Math.min(230, 24 + longest * 7);
    this.margin = { top: 14, right: this.isNarrow ? 8 : 20 + beside * 6.6, bottom: 40, left };
    this.pace = this.isNarrow ? 38 : 22;
    let y = this.margin.top;
    this.places = rows.map(({ group }, i) => {
      if (group && group !== rows[i - 1]?.group) y += 22;
      y += this.pace;
      return y - (this.isNarrow ? 6 : 7);
    });
    this.height = y + 6 + this.margin.bottom;
  }

  /** With zero, as wide as most rows need: one that is far off is cut, and says so by an arrow. */
  domain() {
    const ends = this.spec.rows.flatMap(({ value, low, high }) => [low ?? value, high ?? value]);
    const sizes = ends.map(Math.abs).sort((a, b) => a - b);
    const most = Math.max(1, 4 * sizes[Math.floor(sizes.length * 0.7)]);
    const [low, high] = [ends.reduce((a, b) => Math.min(a, b), 0), ends.reduce((a, b) => Math.max(a, b), 0)].map((end) => Math.max(-most, Math.min(most, end)));
    const room = 0.05 * (high - low) || 1;
    return [low - room, high + room];
  }

  paint() {
    const { left, right, top, bottom } = this.area;
    const { rows } = this.spec;
    this.px = axis(...this.domain(), left, right, false);
    const axes = make("g", { class: "axes", "aria-hidden": "true" }, this.svg);
    for (const value of this.px.ticks(Math.max(2, Math.floor((right - left) / 90)))) {
      const x = this.px(value);
      make("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }, axes);
      const label = `${value > 0 ? "+" : ""}${tickText(value)}%`;
      if (x + label.length * 3.6 < this.area.width) make("text", { x, y: bottom + 15, "text-anchor": "middle" }, axes).textContent = label;
    }
    make("line", { class: "base", x1: this.px(0), x2: this.px(0), y1: top, y2: bottom }, axes);
    make("text", { class: "label", x: right, y: bottom + 33, "text-anchor": "end" }, axes).textContent = this.spec.xLabel;
    rows.forEach((row, i) => this.drawRow(row, i));
  }

  drawRow({ name, group, value, low, high, tone, word, text }, i) {
    const { left, right } = this.area;
    const y = this.places[i];
    const inside = (at) => Math.max(left, Math.min(right, this.px(at)));
    const label = make("g", { "aria-hidden": "true" }, this.svg);
    if (group && group !== this.spec.rows[i - 1]?.group) make("text", { class: "group-name", x: 0, y: y - (this.isNarrow ? 29 : 15) }, label).textContent = group;
    make("text", { x: this.isNarrow ? 0 : left - 12, y: this.isNarrow ? y - 12 : y + 4, "text-anchor": this.isNarrow ? "start" : "end" }, label).textContent = this.isNarrow ? name : cut(name, 30);
    make("text", { class: `value ${tone}`, x: this.isNarrow ? right : right + 12, y: this.isNarrow ? y - 12 : y + 4, "text-anchor": this.isNarrow ? "end" : "start" }, label).textContent = `${text}${word ? ` ${word}` : ""}`;
    if (low !== null) make("path", { class: `interval ${tone}`, d: `M${inside(low).toFixed(1)} ${y - 4}v8m0 -4H${inside(high).toFixed(1)}m0 -4v8` }, this.svg);
    const out = value < this.px.low ? -1 : value > this.px.high ? 1 : 0;
    const x = inside(value);
    make("path", { class: `estimate ${tone}`, d: out ? `M${x - 9 * out} ${y - 5}l${9 * out} 5l${-9 * out} 5z` : markPath(0, x, y, 3.2) }, this.svg);
  }

  stops() {
    return this.spec.rows.length;
  }

  stopAt(x, y) {
    const away = this.places.map((place) => Math.abs(place - y));
    return away.indexOf(Math.min(...away));
  }

  keyTo(key, now, isFast) {
    return super.keyTo({ ArrowDown: "ArrowRight", ArrowUp: "ArrowLeft" }[key] ?? key, now, isFast);
  }

  mark(index) {
    const { left, right } = this.area;
    this.hair(left, this.places[index] + 9, right, this.places[index] + 9);
    return this.px(0);
  }

  /** The tip would cover what it says: the row has its value beside it. */
  showCursor(index) {
    super.showCursor(index, false);
  }

  readOut(index) {
    const { group, name, text, word, absolute } = this.spec.rows[index];
    return [{ text: `${group ? `${group}, ` : ""}${name}: ${text}${word ? `, ${word}` : ""}; ${absolute}` }];
  }

  table() {
    const { rows } = this.spec;
    return { head: ["Metric", "Setting", "Difference", "Verdict", "In its unit"].filter((head) => rows[0].group || head !== "Setting"), rows: rows.map(({ group, name, ...row }) => [...(group ? [group, name] : [name]), row.text, row.word, row.absolute]) };
  }
}

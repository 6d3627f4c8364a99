// What all plots have in common: a frame that resizes, axes, a legend, a cursor for pointer and keyboard, a read-out.

const MARGIN = { top: 26, right: 14, bottom: 38, left: 46 };
const NEXT = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

/**
 * A plot in plain SVG. `spec` has a title and `about`, what it shows in words. A kind of plot gives
 * paint() (draws), stops() (how many places a cursor can stand on), stopAt(x, y) (the nearest one),
 * mark(index) (draws the cursor there; returns its x) and readOut(index) ([{text, color}]), and calls begin() once.
 */
class Chart {
  constructor(host, spec) {
    Object.assign(this, { host, spec, margin: MARGIN, height: spec.height ?? 280, cursor: null, peers: [this], hidden: new Set() });
    this.svg = make("svg", { class: "plot", tabindex: "0", role: "slider", "aria-label": `${spec.title}: ${spec.about}` });
    this.tip = html("div", "tip", "");
    this.tip.hidden = true;
    host.append(this.svg, this.tip);
  }

  begin() {
    if (this.spec.canLog) this.addLogButton(this.spec.isLog);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.host);
    this.draw();
  }

  head() {
    return this.host.parentElement.querySelector(".legend");
  }

  addLegend() {
    this.keys?.remove();
    if (this.spec.series.length < 2) return;
    this.keys = html("div", "keys", "", this.head());
    if (this.spec.seriesName) html("span", "keys-name", this.spec.seriesName, this.keys);
    this.spec.series.forEach((series, index) => {
      const button = html("button", `key s${series.color} d${series.dash ?? 0}`, series.name, this.keys);
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        if (!this.hidden.delete(index)) this.hidden.add(index);
        button.setAttribute("aria-pressed", String(!this.hidden.has(index)));
        this.draw();
      });
    });
  }

  /** A list to choose from; `choose` gets the index of the choice. */
  addChooser(name, options, choose) {
    const label = html("label", "chooser", `${name} `, this.head());
    const select = html("select", "", "", label);
    for (const option of options) html("option", "", option, select);
    select.addEventListener("change", () => {
      choose(select.selectedIndex);
      this.draw();
      this.changed?.();
    });
  }

  /** A button that switches a logarithmic axis on and off. */
  addLogButton(isOn) {
    const button = html("button", "switch", "Logarithmic", this.head());
    button.type = "button";
    this.log = isOn;
    button.setAttribute("aria-pressed", String(isOn));
    button.addEventListener("click", () => {
      this.log = !this.log;
      button.setAttribute("aria-pressed", String(this.log));
      this.draw();
    });
  }

  shown() {
    return this.spec.series.filter((_, index) => !this.hidden.has(index));
  }

  draw() {
    const width = Math.max(220, Math.floor(this.host.clientWidth));
    this.svg.replaceChildren();
    this.layout(width);
    const { top, right, bottom, left } = this.margin;
    this.area = { left, right: width - right, top, bottom: this.height - bottom, width };
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    this.paint();
    if (this.cursor !== null && this.cursor < this.stops()) this.showCursor(this.cursor, false);
    else this.describe(0);
  }

  /** Chooses height and margins for a width, where they depend on it. */
  layout() {}

  drawAxes(xLog, yLog) {
    const { left, right, top, bottom } = this.area;
    const axes = make("g", { class: "axes", "aria-hidden": "true" }, this.svg);
    for (const value of this.py.ticks(yLog ? 6 : 4)) {
      const y = this.py(value);
      make("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }, axes);
      make("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, axes).textContent = tickText(value);
    }
    let free = -Infinity;
    for (const value of this.px.ticks(Math.floor((right - left) / (xLog ? 36 : 64)))) {
      const label = tickText(value);
      const half = label.length * 3.4;
      const x = this.px(value);
      make("line", { class: "tick", x1: x, x2: x, y1: bottom, y2: bottom + 4 }, axes);
      if (x - half < free || x + half > right + this.margin.right) continue;
      make("text", { x, y: bottom + 17, "text-anchor": "middle" }, axes).textContent = label;
      free = x + half + 8;
    }
    make("line", { class: "base", x1: left, x2: right, y1: bottom, y2: bottom }, axes);
    make("text", { class: "label", x: 0, y: top - 14 }, axes).textContent = this.spec.yLabel;
    make("text", { class: "label", x: right, y: bottom + 33, "text-anchor": "end" }, axes).textContent = this.spec.xLabel;
  }

  /** A group in which nothing is drawn outside the axes. */
  clipped() {
    const { left, right, top, bottom } = this.area;
    const clip = `clip-${this.spec.id}`;
    make("rect", { x: left, y: top - 3, width: right - left, height: bottom - top + 6 }, make("clipPath", { id: clip }, this.svg));
    return make("g", { "clip-path": `url(#${clip})` }, this.svg);
  }

  listen() {
    const point = (event) => {
      const box = this.svg.getBoundingClientRect();
      const scale = this.area.width / box.width;
      this.moveTo(this.stops() ? this.stopAt((event.clientX - box.left) * scale, (event.clientY - box.top) * scale) : null);
    };
    this.svg.addEventListener("pointermove", point);
    this.svg.addEventListener("pointerdown", point);
    this.svg.addEventListener("pointerleave", () => this.moveTo(null));
    this.svg.addEventListener("blur", () => this.moveTo(null));
    this.svg.addEventListener("keydown", (event) => {
      const to = event.key === "Escape" ? null : this.keyTo(event.key, this.cursor, event.shiftKey);
      if (to === undefined) return;
      event.preventDefault();
      this.moveTo(to);
    });
  }

  /** Where a key leads from the stop `now` (null: nowhere yet); undefined for a key that does nothing. */
  keyTo(key, now, isFast) {
    const last = this.stops() - 1;
    if (key === "Home" || key === "End") return key === "Home" ? 0 : last;
    if (!(key in NEXT) || last < 0) return undefined;
    const pace = NEXT[key] * (isFast ? Math.ceil(last / 20) : 1);
    return Math.max(0, Math.min(last, (now ?? -1) + pace));
  }

  moveTo(index) {
    for (const peer of this.peers) {
      peer.cursor = index;
      if (index === null) peer.hideCursor();
      else peer.showCursor(index, peer === this);
    }
  }

  hideCursor() {
    this.tip.hidden = true;
    this.svg.querySelectorAll(".dot, .hair").forEach((node) => node.remove());
  }

  showCursor(index, withTip) {
    this.hideCursor();
    const x = this.mark(index);
    this.describe(index);
    if (!withTip) return;
    this.tip.replaceChildren();
    this.readOut(index).forEach((line) => html("div", line.color === undefined ? "" : `line s${line.color}`, line.text, this.tip));
    this.tip.hidden = false;
    const scale = this.svg.getBoundingClientRect().width / this.area.width;
    const room = this.host.clientWidth - this.tip.offsetWidth - 4;
    const wanted = x * scale + 14 <= room ? x * scale + 14 : x * scale - 14 - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, wanted))}px`;
  }

  hair(x1, y1, x2, y2) {
    make("line", { class: "hair", x1, y1, x2, y2 }, this.svg);
  }

  describe(index) {
    if (!this.stops()) return;
    this.svg.setAttribute("aria-valuemin", "0");
    this.svg.setAttribute("aria-valuemax", String(this.stops() - 1));
    this.svg.setAttribute("aria-valuenow", String(index));
    this.svg.setAttribute("aria-valuetext", this.readOut(index).map((line) => line.text).join(", "));
  }
}

// Two metrics against each other, with the Pareto front.

/**
 * `spec`: points [{name, x, y, front, saturated}] by x, xUnit, yUnit, xName, yName, xLabel, yLabel, xBetter, yBetter,
 * and optionally xLimit, yLimit.
 */
class Points extends Chart {
  constructor(host, spec) {
    super(host, spec);
    this.begin();
  }

  domain(key, limit, isLog) {
    const values = this.spec.points.map((point) => point[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (isLog) return [low / 1.2, high * 1.2];
    const near = limit !== null && limit !== undefined && limit <= 2 * high ? limit : high;
    const [from, to] = [Math.min(low, near), Math.max(high, near)];
    const room = (to - from) * 0.06 || Math.abs(to) * 0.1 || 1;
    return [from >= 0 && from < 0.5 * to ? 0 : from - room, to + room];
  }

  paint() {
    const { left, right, top, bottom } = this.area;
    const { points, xLimit, yLimit } = this.spec;
    this.px = axis(...this.domain("x", xLimit, this.log), left, right, this.log);
    this.py = axis(...this.domain("y", yLimit, false), bottom, top, false);
    this.drawAxes(this.log, false);
    const inside = this.clipped();
    this.drawFront(inside);
    this.drawLimits();
    for (const point of points) this.drawPoint(point, inside);
    this.drawNames();
  }

  at({ x, y }) {
    return [this.px(x), this.py(y)];
  }

  drawPoint(point, parent) {
    const kind = `${point.front ? "on-front" : "off-front"}${point.saturated ? " hollow" : ""}`;
    make("path", { class: `${kind} s0`, d: markPath(point.front ? 2 : 0, ...this.at(point), point.front ? 4.5 : 3) }, parent);
  }

  /** Steps: between two points of the front nothing better was found, so the worse of both coordinates holds. */
  drawFront(parent) {
    this.lines = [];
    const front = this.spec.points.filter((point) => point.front).map((point) => this.at(point));
    if (!front.length) return;
    const isFlatFirst = this.spec.xBetter === "lower";
    const parts = front.map(([x, y], i) => {
      if (!i) return `M${x.toFixed(1)} ${y.toFixed(1)}`;
      const [a, b] = front[i - 1];
      const [cornerX, cornerY] = isFlatFirst ? [x, b] : [a, y];
      this.lines.push(...[[a, b], [x, y]].map(([p, q]) => [Math.min(p, cornerX), Math.min(q, cornerY), Math.max(p, cornerX), Math.max(q, cornerY)]));
      return isFlatFirst ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `V${y.toFixed(1)}H${x.toFixed(1)}`;
    });
    make("path", { class: "curve s0", d: parts.join("") }, parent);
  }

  drawLimits() {
    const { left, right, top, bottom } = this.area;
    const { xLimit, yLimit } = this.spec;
    const name = (text, place) => (make("text", { class: "limit-name", ...place }, this.svg).textContent = text);
    const line = (x1, y1, x2, y2) => {
      make("line", { class: "limit", x1, y1, x2, y2 }, this.svg);
      this.lines.push([x1, y1, x2, y2]);
    };
    if (yLimit !== null && yLimit <= this.py.high && yLimit >= this.py.low) {
      const y = this.py(yLimit);
      line(left, y, right, y);
      name(`SLO ${withUnit(yLimit, this.spec.yUnit)}`, { x: right - 4, y: y - 5 < top + 8 ? y + 14 : y - 5, "text-anchor": "end" });
    }
    if (xLimit !== null && xLimit <= this.px.high && xLimit >= this.px.low) {
      const x = this.px(xLimit);
      line(x, top, x, bottom);
      name(`SLO ${withUnit(xLimit, this.spec.xUnit)}`, { x: x + 6, y: bottom - 8 });
    }
  }

  /** Names of the front's points, as many as keep apart from each other and from every point. */
  drawNames() {
    const taken = this.spec.points.map((point) => this.at(point)).map(([x, y]) => [x - 5, y - 5, x + 5, y + 5]).concat(this.lines);
    const isFree = (box) => box[0] > this.area.left && box[2] < this.area.width && box[1] > 0 && box[3] < this.area.bottom && taken.every((other) => box[2] < other[0] || other[2] < box[0] || box[3] < other[1] || other[3] < box[1]);
    for (const point of this.spec.points.filter(({ front }) => front)) {
      const [x, y] = this.at(point);
      const name = cut(point.name, Math.floor((this.area.right - this.area.left) / 14));
      const width = name.length * 7;
      const places = [[x + 9, y - 13, "start"], [x + 9, y + 3, "start"], [x - 9 - width, y - 13, "end"], [x - 9 - width, y + 3, "end"]];
      const place = places.find(([left, top]) => isFree([left, top, left + width, top + 13]));
      if (!place) continue;
      taken.push([place[0], place[1], place[0] + width, place[1] + 13]);
      make("text", { class: "mark-name", x: place[2] === "start" ? place[0] : place[0] + width, y: place[1] + 11, "text-anchor": place[2] }, this.svg).textContent = name;
    }
  }

  stops() {
    return this.spec.points.length;
  }

  stopAt(x, y) {
    const away = this.spec.points.map((point) => this.at(point)).map(([a, b]) => (a - x) ** 2 + (b - y) ** 2);
    return away.indexOf(away.reduce((least, one) => Math.min(least, one), Infinity));
  }

  /** Left and right go through all points by x; up and down through those of the front. */
  keyTo(key, now, isFast) {
    if (key !== "ArrowUp" && key !== "ArrowDown") return super.keyTo(key, now, isFast);
    const front = this.spec.points.flatMap(({ front: is }, i) => (is ? [i] : []));
    const at = now ?? -1;
    return key === "ArrowUp" ? front.find((i) => i > at) ?? now ?? 0 : front.findLast((i) => i < at) ?? now ?? 0;
  }

  mark(index) {
    const [cx, cy] = this.at(this.spec.points[index]);
    make("circle", { class: "dot ring s0", cx, cy, r: 7 }, this.svg);
    return cx;
  }

  readOut(index) {
    const { points, xName, yName, xUnit, yUnit } = this.spec;
    const { name, x, y, front, saturated } = points[index];
    const lines = [{ text: name }, { text: `${xName} ${withUnit(x, xUnit)}` }, { text: `${yName} ${withUnit(y, yUnit)}` }];
    if (front) lines.push({ text: "on the Pareto front" });
    if (saturated) lines.push({ text: "saturated" });
    return lines;
  }

  table() {
    const { points, xName, yName, xUnit, yUnit } = this.spec;
    return { head: ["Setting", xName, yName, "Pareto front"], rows: points.map(({ name, x, y, front }) => [name, withUnit(x, xUnit), withUnit(y, yUnit), front ? "on it" : ""]) };
  }
}

"use strict";
// Elements, numbers and scales for the plots of report.html.

const SVG_NS = "http://www.w3.org/2000/svg";

function make(name, attributes, parent) {
  const node = document.createElementNS(SVG_NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

function html(name, className, text, parent) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

/** Index of the last value not above the target; 0 when there is none. */
function lastNotAbove(values, target) {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= target) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Three significant figures, thousands apart. */
function figures(value) {
  const size = Math.abs(value);
  if (size >= 100 || size === 0) return Math.round(value).toLocaleString("en-US");
  return size >= 10 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : String(Number(value.toPrecision(3)));
}

/** Short enough for an axis: 0.25, 40, 1,500, 20k, 3M. */
function tickText(value) {
  const size = Math.abs(value);
  for (const [scale, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    const unit = letter === "k" ? 1e3 : scale;
    if (size >= scale) return `${Number((value / unit).toPrecision(4))}${letter}`;
  }
  return Number(value.toPrecision(6)).toLocaleString("en-US", { maximumSignificantDigits: 6 });
}

function linearTicks(low, high, most) {
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find((multiple) => multiple * power >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i += 1) found.push(i * step);
  return found;
}

function logTicks(low, high, most) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const multiple of [1, 2, 5]) found.push(multiple * 10 ** power);
  }
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const decades = inside.filter((value) => Math.abs(Math.log10(value) % 1) < 1e-9);
  if (inside.length <= most || decades.length < 2) return inside;
  const stride = Math.ceil(decades.length / Math.max(1, most));
  return decades.filter((_, index) => index % stride === 0);
}

function axis(low, high, start, end, isLog, isWhole = false) {
  const map = isLog ? Math.log : (value) => value;
  const [from, to] = [map(low), map(high)];
  const place = (value) => start + ((map(value) - from) / (to - from)) * (end - start);
  const ticks = (most) => (isLog ? logTicks : linearTicks)(low, high, most).filter((value) => !isWhole || Number.isInteger(value));
  return Object.assign(place, { low, high, ticks });
}


/** A value with its unit as people write it: $2.49, 99.1%, 212 ms, 12.3 s. */
function withUnit(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "ms" && Math.abs(value) >= 1e4) return `${figures(value / 1e3)} s`;
  if (unit.startsWith("$")) return `${value < 0 ? "-" : ""}$${Math.abs(value) >= 1 && Math.abs(value) < 1e5 ? Math.abs(value).toFixed(2) : figures(Math.abs(value))}${unit.slice(1)}`;
  if (unit === "%") return `${Number(value.toFixed(Math.abs(value) >= 1 && value < 99 ? 1 : 2))}%`;
  return unit ? `${figures(value)} ${unit}` : figures(value);
}

/** A value with its interval, where there is one. */
function withInterval(value, low, high, unit) {
  const text = withUnit(value, unit);
  return low === null || low === undefined || high === null || high === undefined ? text : `${text} [${withUnit(low, unit)}, ${withUnit(high, unit)}]`;
}

/** A mark whose shape tells series apart where colours do not: circle, square, diamond, triangle. */
function markPath(shape, x, y, r) {
  const [a, b] = [x.toFixed(1), y.toFixed(1)];
  if (shape === 1) return `M${(x - r * 0.9).toFixed(1)} ${(y - r * 0.9).toFixed(1)}h${1.8 * r}v${1.8 * r}h${-1.8 * r}z`;
  if (shape === 2) return `M${a} ${(y - 1.25 * r).toFixed(1)}l${1.25 * r} ${1.25 * r}l${-1.25 * r} ${1.25 * r}l${-1.25 * r} ${-1.25 * r}z`;
  if (shape === 3) return `M${a} ${(y - 1.2 * r).toFixed(1)}l${1.15 * r} ${2 * r}h${-2.3 * r}z`;
  return `M${(x - r).toFixed(1)} ${b}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
}

/** A text of at most so many letters. */
function cut(text, most) {
  return text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text;
}

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

function axis(low, high, start, end, isLog) {
  const map = isLog ? Math.log : (value) => value;
  const [from, to] = [map(low), map(high)];
  const place = (value) => start + ((map(value) - from) / (to - from)) * (end - start);
  return Object.assign(place, { low, high, ticks: (most) => (isLog ? logTicks : linearTicks)(low, high, most) });
}


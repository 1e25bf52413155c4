// Ports over time. Own use is drawn from the bottom, foreign use from the total downwards; the space
// between them is free, and the ceiling is the limit of own use.

import { attribute, byId, el, Keyed, write } from "./dom.js";
import { clock, groupName, number } from "./format.js";

const SHOWN_S = 900;
const SHOWN_S_MIN = 120;
const COLUMNS = [
  { key: "ours", name: "Ours", colour: "--ours", column: 4 },
  { key: "foreign", name: "Foreign", colour: "--foreign", column: null },
  { key: "ceiling", name: "Ceiling", colour: "--ceiling", column: 3 },
  { key: "total", name: "Total", colour: "--total", column: 1 },
];

/** The value of a CSS colour variable: a canvas cannot resolve variables. */
function colour(name) {
  const probe = byId("chart");
  probe.style.outlineColor = `var(${name})`;
  return getComputedStyle(probe).outlineColor;
}

export class PortChart {
  constructor() {
    this.parent = byId("chart");
    this.group = null;
    this.zone = null;
    this.plot = null;
    this.cursor = null;
    this.legend = COLUMNS.map(({ key, name }) => {
      const value = el("b");
      byId("legend").append(el("li", {}, el("span", { className: `swatch ${key}` }), `${name} `, value));
      return value;
    });
    this.groups = new Keyed(byId("groups"), (group) => {
      const element = el("button", { type: "button", className: "tab", textContent: groupName(group) });
      element.addEventListener("click", () => this.choose(group));
      return { element, update: () => attribute(element, "aria-pressed", group === this.group) };
    });
    new ResizeObserver(() => this.resize()).observe(this.parent);
  }

  choose(group) {
    this.group = group;
    if (this.zone) this.update(this.zone);
  }

  update(zone) {
    this.zone = zone;
    const names = Object.keys(zone.points.at(-1)?.[1] ?? {});
    if (!names.includes(this.group)) this.group = names[0] ?? null;
    byId("groups").hidden = names.length < 2;
    this.groups.update(names, (name) => name);
    const columns = zone.columns(this.group);
    if (this.plot) this.plot.setData(columns, false);
    else this.plot = this.make(columns);
    this.plot.batch(() => {
      const known = columns[0][columns[0].length - 1] - columns[0][0];
      const shown = Math.min(SHOWN_S, Math.max(SHOWN_S_MIN, known));
      this.plot.setScale("x", { min: zone.now / 1000 - shown, max: zone.now / 1000 });
      this.plot.setScale("y", { min: 0, max: Math.max(4, ...columns[1], ...columns[3], ...columns[4]) * 1.06 });
    });
    this.updateLegend(this.cursor);
  }

  /** Draw again in the current colours. */
  repaint() {
    this.plot?.destroy();
    this.plot = null;
    if (this.zone) this.update(this.zone);
  }

  resize() {
    if (rootSize() !== this.rootSize) this.repaint();
    else this.plot?.setSize(this.size());
  }

  size() {
    return { width: this.parent.clientWidth, height: this.parent.clientHeight };
  }

  make(columns) {
    const [ours, foreign, ceiling, total, grid, text] =
      ["--ours", "--foreign", "--ceiling", "--total", "--line", "--muted"].map(colour);
    const size = (this.rootSize = rootSize());
    const axis = {
      stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false },
      font: `${Math.round(0.8 * size)}px system-ui, sans-serif`,
    };
    const time = { ...axis, size: 2 * size, space: 8 * size, values: (_, at) => at.map((s) => clock(1000 * s)) };
    const stepped = uPlot.paths.stepped({ align: 1 });
    const line = { paths: stepped, points: { show: false }, spanGaps: false };
    return new uPlot({
      ...this.size(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [time, { ...axis, size: 3.4 * size, space: 3 * size }],
      series: [
        {},
        { ...line, stroke: total, width: 1.5 },
        { ...line, stroke: "transparent", width: 0 },
        { ...line, stroke: ceiling, width: 2, dash: [7, 5] },
        { ...line, stroke: ours, width: 2, fill: translucent(ours, 0.35) },
      ],
      bands: [{ series: [1, 2], fill: translucent(foreign, 0.5) }],
      hooks: { setCursor: [(plot) => this.updateLegend(plot.cursor.idx ?? null)] },
    }, columns, this.parent);
  }

  /** Show the numbers under the pointer in the legend, else the newest. */
  updateLegend(place) {
    this.cursor = place;
    const columns = this.plot.data;
    const at = place ?? columns[0].length - 1;
    const values = COLUMNS.map(({ column }) => column === null
      ? difference(columns[1][at], columns[2][at]) : columns[column][at]);
    values.forEach((value, n) => write(this.legend[n], number(value)));
    if (place !== null) return;
    const summary = COLUMNS.map(({ name }, n) => `${name.toLowerCase()} ${number(values[n])}`).join(", ");
    const name = this.group ? groupName(this.group) : "";
    attribute(this.parent, "aria-label", `Ports of ${name} over the last 15 minutes. Now: ${summary}.`);
  }
}

const rootSize = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

const difference = (a, b) => (a === null || a === undefined || b === null ? null : a - b);

/** The colour rgb(1, 2, 3) with an opacity. */
function translucent(rgb, opacity) {
  return rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

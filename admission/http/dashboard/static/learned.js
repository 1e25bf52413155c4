// What was learned of each channel: seen before policy uses it.

import { byId, el, Keyed, write } from "./dom.js";
import { channelName, duration, number } from "./format.js";

const WHY = {
  cold: "too few snapshots so far", surprised: "counts are lower than anything it knows explains",
  frozen_count: "the count stands still while calls begin and end", restless: "others move faster than it can follow",
  failing: "launches found no port where it expected free ones", old_count: "the counts are too old",
  recovering: "the zone lost its state", stale: "the next snapshot is overdue",
};
const signed = new Intl.NumberFormat("en", { maximumFractionDigits: 1, signDisplay: "exceptZero" });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

const precise = (ms) => (ms < 1000 ? `${number(ms)} ms` : duration(ms));

/** Reason codes for which the learned ceiling cannot count now. */
export const reasons = ({ doubts, fallback }) => (doubts.length ? doubts : fallback ? [fallback] : []);

function stateText(learned) {
  if (learned.in_force) return "in force";
  const why = reasons(learned).map((code) => WHY[code] ?? code.replaceAll("_", " "));
  return why.length ? `not trusted: ${why.join("; ")}` : "not in force";
}

/** Names and values, as in the status: only what is known. */
function findings(pool) {
  const { learned } = pool;
  const found = [["Allows now", number(learned.ceiling)], ["Proved", number(pool.ceiling)]];
  if (learned.claim_median_ms !== null) {
    found.push(["Claim time, median / 99%", `${precise(learned.claim_median_ms)} / ${precise(learned.claim_p99_ms)}`]);
    found.push(["Age of counts", precise(learned.count_age_ms)]);
    found.push(["Others drift, ports in a second", tenth.format(learned.foreign_sd_per_s)]);
    found.push(["Trend of others, ports / s", signed.format(learned.foreign_slope_per_s)]);
  }
  const gain = learned.gain_ports === null ? "–" : `${signed.format(learned.gain_ports)} ports`;
  found.push(["Beyond proved, last hour", gain], ["Denied for want of ports", duration(1000 * learned.wanted_s)]);
  return found;
}

function channelRow(channel) {
  const mark = el("span", { className: "muted" });
  const list = el("dl", { className: "counts" });
  const values = new Keyed(list, (name) => {
    const value = el("dd");
    return { element: el("div", {}, el("dt", { textContent: name }), value), update: ([, text]) => write(value, text) };
  });
  const element = el("li", {}, el("h3", {}, channelName(channel), " ", mark), list);
  return {
    element,
    update(pool) {
      write(mark, stateText(pool.learned));
      values.update(findings(pool), ([name]) => name);
    },
  };
}

export class Learned {
  constructor() {
    this.rows = new Keyed(byId("learned"), channelRow);
  }

  update(zone) {
    const known = zone.channels.filter(({ learned }) => (learned?.ceiling ?? null) !== null);
    byId("learned-card").hidden = !known.length;
    this.rows.update(known, ({ pool }) => pool.slice(8));
  }
}

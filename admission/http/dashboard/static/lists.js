// Notes on the state of the zone, denials, sources and counters.

import { bar, byId, el, Keyed, write } from "./dom.js";
import { ago, clock, duration, number, poolName, reason } from "./format.js";

const SHOWN_MAX = 20;

/** Conditions that an operator should notice: [severity, text]. Without ages: a screen reader reads each change. */
export function notes(zone) {
  const { status, problem } = zone;
  if (problem) return [["bad", `${problem.title}: ${problem.detail}. The numbers below are outdated.`]];
  const found = [];
  if (status.paused.zone) found.push(["warn", `The zone is paused since ${clock(status.paused.zone)}: nothing is granted`]);
  if (status.recovering) found.push(["warn", `Recovering until ${clock(status.recover_until)}: waiting until snapshots show earlier launches`]);
  if (status.shadow) found.push(["info", "Shadow mode: every denial is answered as a grant"]);
  for (const pool of zone.pools("channel")) {
    if (zone.isStale(pool)) found.push(["bad", `The count of ${poolName(pool.pool)} ports is too old: nothing is granted`]);
  }
  for (const { pool, adaptive_headroom: reserved } of zone.pools("channel")) {
    if (reserved) found.push(["warn", `${number(reserved)} ${poolName(pool)} ports are reserved: recent launches found no port`]);
  }
  for (const source of status.sources) {
    if (source.state === "failing") found.push(["bad", `Source ${source.source} is failing: ${source.last_error}`]);
  }
  const paused = Object.keys(status.paused).filter((pool) => pool !== "zone").map(poolName);
  if (paused.length) found.push(["warn", `Paused: ${paused.slice(0, 6).join(", ")}${paused.length > 6 ? " and more" : ""}`]);
  if (status.policy.differs_from_file) found.push(["info", `The live policy (version ${status.policy.version}) differs from the file`]);
  return found;
}

/** Newest first; rows of the same ten seconds are sorted by name, so that they do not change places. */
function sortStably(denials, now) {
  const rank = (one) => Math.floor((now - one.at) / 10000);
  const name = (one) => `${one.campaign} ${one.reason} ${one.pool}`;
  return [...denials].sort((a, b) => rank(a) - rank(b) || name(a).localeCompare(name(b)));
}

const STATES = { never: "not polled yet", ok: "ok", failing: "failing", standby: "polled by another replica" };

function sourceText(zone, source) {
  if (source.state === undefined) return source.source === "static" ? "static capacities" : "snapshots are pushed";
  const since = ` for ${ago(zone.currentAge(source.state_age_ms))}`;
  return (STATES[source.state] ?? source.state) + (source.state === "never" ? "" : since);
}

export class Lists {
  constructor() {
    this.notes = new Keyed(byId("notes"), (key) => {
      const [level, text] = JSON.parse(key);
      return { element: el("li", { className: `note ${level}`, textContent: text }), update() {} };
    });
    this.reasons = new Keyed(byId("reasons"), (code) => this.reasonRow(code));
    this.last = new Keyed(byId("last"), () => this.denialRow());
    this.sources = new Keyed(byId("sources"), (name) => this.sourceRow(name));
    this.counts = new Keyed(byId("counts"), (name) => {
      const value = el("dd");
      const element = el("div", {}, el("dt", { textContent: name }), value);
      return { element, update: ([, n]) => write(value, number(n)) };
    });
  }

  reasonRow(code) {
    const shown = bar(reason(code, null));
    const count = el("span", { className: "numbers" });
    const element = el("li", {}, el("span", { className: "name", textContent: reason(code, null) }), shown.element, count);
    return {
      element,
      update: ({ n, most }) => {
        shown.update(n, most * 1.12, `${n} times`);
        write(count, number(n));
      },
    };
  }

  denialRow() {
    const [when, campaign, why, numbers] = ["", "", "", "number"].map((className) => el("td", { className }));
    return {
      element: el("tr", {}, when, campaign, why, numbers),
      update: ([zone, denial]) => {
        write(when, ago(zone.now - denial.at));
        write(campaign, denial.campaign);
        write(why, reason(denial.reason, denial.pool));
        write(numbers, denial.limit === undefined ? "" : `${number(denial.in_use)} / ${number(denial.limit)}`);
      },
    };
  }

  sourceRow(name) {
    const text = el("span", { className: "muted" });
    const polls = el("span", { className: "numbers" });
    const element = el("li", {}, el("span", { className: "name" }, el("span", { textContent: name })), text, polls);
    return {
      element,
      update: ([zone, source]) => {
        element.dataset.state = source.state ?? "ok";
        write(text, sourceText(zone, source));
        write(polls, source.polls ? `${number(source.failures)} of ${number(source.polls)} polls failed` : "");
      },
    };
  }

  update(zone) {
    this.updateNotes(zone);
    const { stats, recent_denials: denials, decisions, sources } = zone.status;
    const counted = Object.entries(decisions.denied).sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
    const most = Math.max(1, ...counted.map(([, n]) => n));
    this.reasons.update(counted.map(([code, n]) => ({ code, n, most })), ({ code }) => code);
    byId("reasons").dataset.empty = counted.length ? "" : "No denials";
    this.last.update(sortStably(denials, zone.now).slice(0, SHOWN_MAX).map((denial) => [zone, denial]),
      ([, one]) => `${one.campaign} ${one.reason} ${one.pool}`);
    byId("last-none").hidden = denials.length > 0;
    this.sources.update(sources.map((source) => [zone, source]), ([, source]) => source.source);
    this.counts.update(counters(stats), ([name]) => name);
  }

  updateNotes(zone) {
    this.notes.update(notes(zone), (note) => JSON.stringify(note));
  }
}

function counters(stats) {
  const sum = (prefix) => Object.entries(stats).reduce((all, [name, n]) => all + (name.startsWith(prefix) ? n : 0), 0);
  return [
    ["Launches granted", stats.grant ?? 0],
    ["Denied", sum("deny:")],
    ["Calls ended", sum("end:")],
    ["Over-launches reported", stats["end:no_resource"] ?? 0],
    ["Expired without a report", stats.expired ?? 0],
    ["Recoveries", stats.recovery ?? 0],
  ];
}

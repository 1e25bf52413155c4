// DOM helpers: elements, and lists that keep their elements while they change.

/** Create an element with properties, attributes (names with a dash, role) and children. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "scope") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Set the text only if it differs, so that screen readers and selections are not disturbed. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function attribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/**
 * A list that reuses the element of each key, so that the focus is kept.
 * make(key) returns an object with `element` and `update(item)`.
 */
export class Keyed {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.rows = new Map();
  }

  update(items, keyOf) {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        row.element.remove();
        this.rows.delete(key);
      }
    }
    items.forEach((item, place) => {
      const key = keyOf(item);
      if (!this.rows.has(key)) this.rows.set(key, this.make(key));
      const row = this.rows.get(key);
      const there = this.parent.children[place];
      if (there !== row.element) this.parent.insertBefore(row.element, there ?? null);
      row.update(item);
    });
  }
}

/** A meter of `value` of `most`; `pending` of them were launched just now. */
export function bar(label) {
  const settled = el("span", { className: "settled" });
  const pendingPart = el("span", { className: "pending" });
  const element = el("span", { className: "bar", role: "meter", "aria-label": label, "aria-valuemin": 0 },
    settled, pendingPart);
  return {
    element,
    update(value, most, text, pending = 0) {
      const whole = Math.max(most ?? 0, 0);
      const part = (n) => `${whole ? Math.min(100, (100 * n) / whole) : n > 0 ? 100 : 0}%`;
      settled.style.width = part(Math.max(0, value - pending));
      pendingPart.style.width = part(pending);
      attribute(element, "aria-valuemax", Math.max(whole, value, 1));
      attribute(element, "aria-valuenow", value);
      attribute(element, "aria-valuetext", text);
      attribute(element, "data-level", value > whole ? "over" : whole && value === whole ? "full" : "fine");
      element.hidden = most === null || most === undefined;
    },
  };
}

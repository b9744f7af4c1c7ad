"use strict";
/* Small tools that every part of the page uses. All text reaches the page through textContent, never as HTML. */
const cola = {};

/* The data that Python wrote into the page. */
cola.data = JSON.parse(document.getElementById("page-data").textContent);

/* A new element: cola.h("p", {class: "note"}, "text", otherElement). */
cola.h = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") node.style.cssText = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

cola.svg = (tag, props = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(props)) if (value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

/* The object behind a packed block (gzip, then base64); the browser inflates it when it is asked for. */
cola.unpack = async (id) => {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};

/* The value rounded as Python rounds it, so that page and terminal say the same: toFixed takes 12.5 up, Python to the even 12. */
cola.round = (value, digits) => {
  const halves = value * 2 ** (digits + 1);
  if (!Number.isInteger(halves) || halves % 2 === 0) return Number(value.toFixed(digits)); // no tie
  const below = Math.floor(value * 10 ** digits);
  return (below % 2 === 0 ? below : below + 1) / 10 ** digits;
};
cola.percent = (share, digits = 0) =>
  share === null || share === undefined ? "–" : `${cola.round(100 * share, digits).toFixed(digits)}%`;
cola.number = (value, digits = 1) =>
  value === null || value === undefined
    ? "–"
    : cola.round(value, digits).toLocaleString("en", { maximumFractionDigits: digits });
cola.signed = (value, digits = 2) =>
  value === null || value === undefined
    ? "–"
    : `${value < 0 ? "−" : "+"}${cola.round(Math.abs(value), digits).toFixed(digits)}`;
/* What stands in the place of an interval where values show no spread. */
cola.noInterval = ({ of }) => (of > 1 ? `no interval: all ${of} agree` : of === 1 ? "no interval: a single one" : "");
/* `1 sample`, `2 samples`. */
cola.counted = (number, one, many = `${one}s`) => `${cola.number(number)} ${number === 1 ? one : many}`;
cola.letter = (index) => (index < 26 ? String.fromCharCode(65 + index) : `#${index}`);

cola.OUTCOMES = {
  fixed: { label: "fixed", color: "var(--fixed)" },
  shortened: { label: "shortened", color: "var(--shortened)" },
  same: { label: "right, not shorter", color: "var(--same)" },
  unsolved: { label: "unsolved", color: "var(--wrong)" },
  error: { label: "error", color: "var(--error)" },
};
cola.badge = (outcome) => cola.h("span", { class: `badge ${outcome}` }, cola.OUTCOMES[outcome].label);
cola.verdict = (correct) =>
  correct === null
    ? cola.h("span", { class: "badge error" }, "error")
    : cola.h("span", { class: `badge ${correct ? "right" : "wrong"}` }, correct ? "✓ right" : "✗ wrong");
cola.verified = (state) =>
  state === true ? "verified" : state === false ? "verification disagrees" : "not verified";
cola.oracle = () =>
  cola.h(
    "span",
    { class: "oracle", title: "Uses the gold answer of the very sample: not a deployable accuracy" },
    "ORACLE",
  );

/* The margin as a fact beside a chain; nothing where the task has none. */
cola.margin = (value) => (value === null ? "" : cola.h("span", {}, `margin ${cola.signed(value)}`));

/* Layer indices of a chain's text form, as in `0-11 (12-14)x2 15-27`. */
cola.parseChain = (text) =>
  [...text.matchAll(/\(?(\d+)(?:-(\d+))?(?:\)x(\d+))?/g)].flatMap(([, first, last, runs]) => {
    const block = d3.range(Number(first), Number(last ?? first) + 1);
    return new Array(Number(runs ?? 1)).fill(block).flat();
  });

cola.counts = (layers, numLayers) => {
  const counts = new Array(numLayers).fill(0);
  for (const layer of layers) counts[layer] += 1;
  return counts;
};

/* A table; heads are [text, whether its column holds numbers]. */
cola.table = (heads, rows) => {
  const cells = heads.map(([text, number]) => cola.h("th", { class: number ? "number" : "" }, text));
  return cola.h("table", {}, cola.h("thead", {}, cola.h("tr", {}, cells)), cola.h("tbody", {}, rows));
};

cola.numberCell = (text, note = "") =>
  cola.h("td", { class: "number" }, text, note ? cola.h("small", {}, note) : null);

"use strict";
/* The table of all samples: only the rows in sight are in the page, so 5,000 samples cost what 20 do. */

const ROW = 40;
const COLUMNS = [
  { key: "id", label: "sample", width: "128px" },
  { key: "question", label: "question", width: "minmax(220px, 1fr)" },
  { key: "outcome", label: "outcome", width: "124px" },
  { key: "length", label: "length", width: "56px", number: true },
  { key: "saved", label: "saved", width: "52px", number: true },
  { key: "base_margin", label: "margin before", width: "110px", number: true },
  { key: "margin", label: "after", width: "62px", number: true },
  { key: "verified", label: "verified", width: "72px" },
  { key: "chain", label: "chain", width: "190px" },
];
const RANK = { fixed: 0, shortened: 1, same: 2, unsolved: 3, error: 4 };

cola.makeRows = (columns) =>
  columns.id.map((_, index) => {
    const row = { index };
    for (const key of Object.keys(columns)) row[key] = columns[key][index];
    row.haystack = `${row.id}\n${row.question}`.toLowerCase();
    return row;
  });

cola.sortKey = (key) => {
  if (key === "outcome") return (row) => RANK[row.outcome];
  if (key === "chain") return (row) => row.length;
  if (key === "verified") return (row) => (row.verified === null ? 2 : row.verified ? 0 : 1);
  return (row) => row[key];
};

/* Missing values stay last in both directions; equal ones keep the order of the file. */
cola.sortRows = (rows, key, descending) => {
  const value = cola.sortKey(key);
  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (a, b) => (typeof a === "string" ? collator.compare(a, b) : a - b);
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
    return (descending ? compare(y, x) : compare(x, y)) || a.index - b.index;
  });
};

cola.filterRows = (rows, { text, outcome, verified }) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter(
    (row) =>
      (outcome === "all" || row.outcome === outcome) &&
      (verified === "all" || String(row.verified) === verified) &&
      words.every((word) => row.haystack.includes(word)),
  );
};

const shown = (value) => (value === null ? "–" : String(value).replace("-", "−"));
const CELLS = {
  id: (row) => cola.h("span", { class: "mono", title: row.id }, row.id),
  question: (row) => cola.h("span", { title: row.question.slice(0, 600) }, row.question.slice(0, 160)),
  outcome: (row) => cola.badge(row.outcome),
  length: (row) => shown(row.length),
  saved: (row) => shown(row.saved),
  base_margin: (row) => cola.signed(row.base_margin),
  margin: (row) => cola.signed(row.margin),
  verified: (row) => (row.verified === null ? "–" : row.verified ? "✓ yes" : "✗ no"),
  chain: (row, numLayers) => (row.chain ? cola.miniStrip(cola.parseChain(row.chain), numLayers) : ""),
};

cola.tableHead = (sort) => {
  const cell = ({ key, label, number }) =>
    cola.h(
      "div",
      { role: "columnheader", "aria-sort": "none", "data-key": key, class: number ? "number" : "" },
      cola.h("button", { type: "button", onclick: () => sort(key) }, label),
    );
  return cola.h("div", { class: "grid-row grid-head", role: "row" }, COLUMNS.map(cell));
};

cola.tableRow = (row, position, numLayers, open) => {
  const cells = COLUMNS.map(({ key, number }) =>
    cola.h("div", { role: "cell", class: number ? "number" : "" }, CELLS[key](row, numLayers)),
  );
  const place = { style: `top:${position * ROW}px`, "data-index": row.index, "aria-rowindex": position + 2 };
  const onkeydown = (event) => event.key === "Enter" && open();
  return cola.h("div", { class: "grid-row", role: "row", tabindex: 0, ...place, onclick: open, onkeydown }, cells);
};

/* Search box, outcome buttons and verification choice; each change goes to `change(key, value)`. */
cola.filterBar = (rows, count, change) => {
  const outcomes = ["all", ...Object.keys(RANK).filter((outcome) => rows.some((row) => row.outcome === outcome))];
  const buttons = outcomes.map((outcome) => {
    const number = outcome === "all" ? rows.length : rows.filter((row) => row.outcome === outcome).length;
    const text = `${cola.OUTCOMES[outcome]?.label ?? "all"} ${cola.number(number, 0)}`;
    const pressed = { "data-outcome": outcome, "aria-pressed": String(outcome === "all") };
    const onclick = (event) => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
      change("outcome", outcome);
    };
    return cola.h("button", { type: "button", class: "button", ...pressed, onclick }, text);
  });
  const named = { placeholder: "Search id and question", "aria-label": "Search id and question" };
  const oninput = (event) => change("text", event.target.value);
  const onchange = (event) => change("verified", event.target.value);
  const choices = [
    ["all", "verified or not"],
    ["true", "verified"],
    ["false", "verification disagrees"],
    ["null", "no verified chain"],
  ].map(([value, label]) => cola.h("option", { value }, label));
  return cola.h(
    "div",
    { class: "filters" },
    cola.h("input", { type: "search", id: "search", ...named, oninput }),
    buttons,
    cola.h("select", { id: "verified", "aria-label": "Verification", onchange }, choices),
    count,
  );
};

cola.sampleTable = (rows, numLayers, open) => {
  const state = { text: "", outcome: "all", verified: "all", key: "index", descending: false };
  let visible = rows;
  const count = cola.h("span", { class: "note", "aria-live": "polite", id: "row-count" });
  const body = cola.h("div", { class: "grid-body", role: "rowgroup" });
  const head = cola.tableHead((key) => {
    state.descending = state.key === key && !state.descending;
    state.key = key;
    refresh();
  });
  const columns = `--grid-columns: ${COLUMNS.map((column) => column.width).join(" ")}`;
  const named = { role: "table", "aria-label": "all samples", tabindex: 0, style: columns };
  const scroll = cola.h(
    "div",
    { class: "grid-scroll", ...named, onscroll: () => requestAnimationFrame(paint) },
    head,
    body,
  );

  const paint = () => {
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW) - 6);
    const last = first + Math.ceil((scroll.clientHeight || 720) / ROW) + 12;
    const drawn = visible.slice(first, last);
    body.replaceChildren(
      ...drawn.map((row, offset) => cola.tableRow(row, first + offset, numLayers, () => open(row, visible))),
    );
    const none = rows.length ? "No sample passes these filters." : "There are no samples yet.";
    if (!visible.length) body.append(cola.h("div", { class: "empty" }, none));
  };
  const refresh = () => {
    visible = cola.sortRows(cola.filterRows(rows, state), state.key, state.descending);
    body.style.height = `${Math.max(2, visible.length) * ROW}px`;
    scroll.setAttribute("aria-rowcount", String(visible.length + 1));
    count.textContent = `${cola.number(visible.length, 0)} of ${cola.counted(rows.length, "sample")}`;
    for (const cell of head.children) {
      const direction = state.descending ? "descending" : "ascending";
      cell.setAttribute("aria-sort", cell.dataset.key === state.key ? direction : "none");
    }
    scroll.scrollTop = 0;
    paint();
  };
  const filters = cola.filterBar(rows, count, (key, value) => {
    state[key] = value;
    refresh();
  });
  refresh();
  requestAnimationFrame(paint);
  return [filters, cola.h("div", { class: "panel grid" }, scroll)];
};

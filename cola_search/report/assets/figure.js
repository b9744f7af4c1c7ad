"use strict";
/* The frame of a figure, and the chart of rates; Observable Plot draws. */

/* Points of a curve are lists: [where, value, low, high]. */
const [WHERE, VALUE, LOW, HIGH] = [0, 1, 2, 3].map((part) => (point) => point[part]);
const GRID = { stroke: "var(--line)", strokeOpacity: 1 };

/* A figure in a panel, drawn anew whenever its width changes; `draw(width)` returns an SVG made by Plot. */
cola.figure = ({ title, text, caption, legend, draw, name }) => {
  const holder = cola.h("div", { class: "plot" });
  const save = cola.h(
    "button",
    {
      class: "button quiet",
      type: "button",
      title: "Save this figure as SVG",
      onclick: () => cola.saveSvg(holder.querySelector("svg"), name),
    },
    "SVG ↓",
  );
  const figure = cola.h(
    "figure",
    { class: "panel", id: `figure-${name}`, "aria-label": title },
    cola.h(
      "div",
      { class: "figure-head" },
      cola.h("div", {}, cola.h("h3", {}, title), text ? cola.h("p", {}, text) : null),
      save,
    ),
    legend ? cola.legend(legend) : null,
    holder,
    caption ? cola.h("figcaption", {}, caption) : null,
  );
  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.floor(holder.clientWidth);
    if (width < 120 || Math.abs(width - drawn) < 4) return;
    drawn = width;
    holder.replaceChildren(draw(width));
  }).observe(holder);
  return figure;
};

cola.legend = (entries) =>
  cola.h(
    "div",
    { class: "legend" },
    entries.map(([label, color]) => cola.h("span", {}, cola.h("i", { style: `--swatch:${color}` }), label)),
  );

/* Downloads an SVG with the page's colours written out, so that it looks the same in slides. */
cola.saveSvg = (svg, name) => {
  const style = getComputedStyle(document.documentElement);
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.style.background = style.getPropertyValue("--panel");
  copy.style.color = style.getPropertyValue("--ink");
  copy.style.fontFamily = "sans-serif";
  let text = new XMLSerializer().serializeToString(copy);
  for (let round = 0; round < 2; round++)
    text = text.replace(/var\((--[\w-]+)\)/g, (whole, key) => style.getPropertyValue(key).trim() || whole);
  const link = cola.h("a", {
    href: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })),
    download: `${name}.svg`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

/* Rates with their intervals, one row each, gold-using rows beside their controls. */
cola.forest = (rows, width, { label = "share of samples", domain = [0, 1], percent = true, ticks = [] } = {}) => {
  const narrow = width < 560; // there the label and the counts stand above the bar
  const longest = Math.max(...rows.map((row) => row.label.length));
  const left = narrow ? 10 : Math.min(0.34 * width, 20 + 7.1 * longest);
  const counts = (row) => (row.count === undefined ? `n = ${row.of}` : `${row.count} / ${row.of}`);
  const show = (value) => (percent ? cola.percent(value) : cola.number(value));
  const known = rows.filter((row) => row.rate !== null);
  const tips = { x: false, y: true, fill: false, rate: true, interval: true };
  return Plot.plot({
    width,
    height: 44 + rows.length * (narrow ? 44 : 31),
    marginLeft: left,
    marginRight: narrow ? 60 : 140,
    marginTop: narrow ? 14 : 4,
    marginBottom: 38,
    style: { fontSize: "13px" },
    x: { domain, label, tickFormat: percent ? (value) => cola.percent(value) : undefined, ticks: narrow ? 3 : 6 },
    y: { domain: rows.map((row) => row.label), label: null, tickSize: 0, padding: 0.4, axis: narrow ? null : "left" },
    marks: [
      Plot.gridX(GRID),
      domain[0] < 0 ? Plot.ruleX([0], { stroke: "var(--muted)" }) : null,
      Plot.ruleY(known, {
        y: "label",
        x1: "low",
        x2: "high",
        stroke: "color",
        strokeWidth: 8,
        strokeOpacity: 0.28,
        strokeLinecap: "round",
      }),
      Plot.tickX(ticks, { x: "rate", y: "label", stroke: "var(--control)", strokeWidth: 3 }),
      Plot.dot(known, {
        x: "rate",
        y: "label",
        fill: "color",
        r: 6,
        channels: { rate: (row) => show(row.rate), interval: (row) => `${show(row.low)} to ${show(row.high)}` },
        tip: { format: tips },
      }),
      Plot.text(rows, {
        frameAnchor: "right",
        y: "label",
        text: (row) => show(row.rate),
        dx: narrow ? 56 : 62,
        textAnchor: "end",
        fill: "currentColor",
        fontWeight: 650,
        fontVariant: "tabular-nums",
      }),
      narrow
        ? Plot.text(rows, {
            frameAnchor: "left",
            y: "label",
            text: (row) => `${row.label}: ${counts(row)}`,
            dy: -17,
            textAnchor: "start",
            fill: "currentColor",
            fontSize: 12,
          })
        : Plot.text(rows, {
            frameAnchor: "right",
            y: "label",
            text: counts,
            dx: 132,
            textAnchor: "end",
            fill: "var(--muted)",
            fontVariant: "tabular-nums",
          }),
    ],
  });
};

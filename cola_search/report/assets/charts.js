"use strict";
/* Charts of chains: depth, layer use, and the Pareto cloud. Python has counted everything (figures.py). */

const GROUPS = {
  fixed: { label: "fixed (base wrong)", color: "var(--fixed)" },
  shortened: { label: "base right", color: "var(--shortened)" },
  decoy: { label: "decoys reached", color: "var(--control)" },
};
const HALO = { stroke: "var(--panel)", strokeWidth: 4 };

/* Layers by phase: the darker, the more tokens use the layer; below them the chains that the search ended with. */
cola.drawVoids = (voids, width) =>
  Plot.plot({
    width,
    height: 62 + 30 * new Set(voids.rows.map((row) => row.row)).size,
    marginLeft: 78,
    marginBottom: 36,
    x: {
      label: "layer →",
      type: "band",
      tickSize: 0,
      ticks: d3.ticks(0, voids.num_layers - 1, width / 50).filter(Number.isInteger),
    },
    y: { label: null, tickSize: 0, domain: [...new Set(voids.rows.map((row) => row.row))] },
    opacity: { domain: [0, 1], range: [0, 1] },
    marks: [
      Plot.cell(voids.rows, {
        x: "layer",
        y: "row",
        inset: 0.5,
        fill: "var(--once)",
        fillOpacity: "share",
        stroke: GRID.stroke,
        channels: { used: "share", of: "of" },
        tip: { format: { fillOpacity: false, used: (value) => cola.percent(value, 1) } },
      }),
    ],
  });

/* The share of each group that ends at each length, with the decoys below. */
cola.drawDepth = (depth, width) => {
  const most = Math.max(...depth.rows.map((row) => row.share));
  const ticks = d3.ticks(0, most, 3);
  const groups = depth.means.map((row) => row.group);
  return Plot.plot({
    width,
    height: 64 + 116 * groups.length,
    marginLeft: 44,
    marginRight: 16,
    marginTop: 22,
    marginBottom: 36,
    fy: { domain: groups, axis: null, padding: 0.22 },
    x: {
      label: "length: layer runs per forward pass →",
      domain: [depth.low - 0.5, depth.high + 0.5],
      ticks: d3.ticks(depth.low, depth.high, width / 90).filter(Number.isInteger),
    },
    y: { label: null, ticks, domain: [0, 1.3 * most], tickFormat: (value) => cola.percent(value) },
    marks: [
      Plot.gridY(ticks, GRID),
      cola.depthBars(depth),
      Plot.ruleX([depth.num_layers], { stroke: "var(--ink)", strokeDasharray: "4 3" }),
      ...cola.depthLabels(depth, groups),
      Plot.ruleY([0], { stroke: "var(--muted)" }),
    ],
  });
};

cola.depthBars = (depth) =>
  Plot.rectY(depth.rows, {
    fy: "group",
    x1: (row) => row.length - 0.45,
    x2: (row) => row.length + 0.45,
    y: "share",
    fill: (row) => GROUPS[row.group].color,
    rx: 1.5,
    channels: { length: "length", chains: "count" },
    tip: { format: { x1: false, x2: false, fill: false, fy: false, y: (value) => cola.percent(value, 1) } },
  });

cola.depthLabels = (depth, groups) => {
  const mean = { symbol: "triangle", r: 6, dy: 1, fill: "var(--ink)", stroke: "var(--panel)", strokeWidth: 1.2 };
  return [
    Plot.dot(depth.means, { fy: "group", x: "mean", frameAnchor: "bottom", ...mean }),
    Plot.text(depth.means, {
      fy: "group",
      frameAnchor: "top-left",
      text: (row) => `${GROUPS[row.group].label}: n = ${cola.number(row.of, 0)}, mean ${cola.round(row.mean, 1).toFixed(1)}`,
      fill: (row) => GROUPS[row.group].color,
      fontWeight: 600,
      fontSize: 13,
      dx: 4,
      dy: -2,
      ...HALO,
    }),
    Plot.text(groups.slice(0, 1), {
      fy: (group) => group,
      x: () => depth.num_layers,
      frameAnchor: "top",
      text: () => `before: ${depth.num_layers}`,
      dy: -16,
      fill: "currentColor",
      fontSize: 13,
    }),
  ];
};

/* Per layer, the share of samples whose best chain skips it, runs it once, or repeats it. */
cola.drawUsage = (usage, width) => {
  const order = ["repeated", "once", "skipped"];
  const color = { skipped: "var(--skip)", once: "var(--once)", repeated: "var(--repeat)" };
  const rows = order.flatMap((kind) =>
    usage[kind].map((count, layer) => ({ layer, kind, share: usage.of ? count / usage.of : 0, count })),
  );
  return Plot.plot({
    width,
    height: 210,
    marginLeft: 46,
    marginRight: 6,
    marginTop: 8,
    marginBottom: 36,
    x: {
      label: "layer →",
      tickFormat: (layer) => (layer % (width / usage.once.length < 16 ? 5 : 2) === 0 ? String(layer) : ""),
      tickSize: 0,
      padding: 0.12,
    },
    y: { label: null, domain: [0, 1], ticks: 4, tickFormat: (value) => cola.percent(value) },
    marks: [
      Plot.barY(rows, {
        x: "layer",
        y: "share",
        fill: (row) => color[row.kind],
        order: null,
        channels: { use: "kind", samples: "count" },
        tip: { format: { fill: false, x: true, y: (value) => cola.percent(value), use: true, samples: true } },
      }),
      Plot.ruleY([0], { stroke: "var(--muted)" }),
    ],
  });
};

/* Every chain that was evaluated: length against margin, with the best chain of each sample on top. */
cola.drawCloud = (cloud, width) => {
  const many = Math.max(1, ...cloud.cells.map((cell) => cell[3]));
  const cells = cloud.cells.map(([length, margin, correct, count]) => ({ length, margin, correct, count }));
  const best = cloud.best.map(([length, margin, outcome]) => ({ length, margin, outcome }));
  const words = cloud.margins ? {} : { type: "point", domain: ["right", "wrong"] };
  return Plot.plot({
    width,
    height: cloud.margins ? 340 : 200,
    marginLeft: 52,
    marginRight: 12,
    marginTop: 26,
    marginBottom: 38,
    x: {
      label: "length: layer runs →",
      domain: [cloud.low - 0.5, cloud.high + 0.5],
      ticks: d3.ticks(cloud.low, cloud.high, width / 70).filter(Number.isInteger),
      tickFormat: "d",
    },
    y: { label: cloud.margins ? "↑ margin (nats)" : null, ...words },
    r: { domain: [0, many], range: [0, Math.min(11, width / (cloud.high - cloud.low + 1) / 1.5)] },
    marks: [
      Plot.gridX(GRID),
      cloud.margins ? Plot.ruleY([0], { stroke: "var(--muted)" }) : null,
      Plot.ruleX([cloud.num_layers], { stroke: "var(--ink)", strokeDasharray: "4 3" }),
      Plot.dot(cells, {
        x: "length",
        y: "margin",
        r: "count",
        fill: (cell) => (cell.correct ? "var(--right)" : "var(--wrong)"),
        fillOpacity: 0.5,
        channels: { chains: "count" },
        tip: { format: { r: false, fill: false, x: true, y: true, chains: true } },
      }),
      Plot.dot(best, {
        x: "length",
        y: "margin",
        r: 2.6,
        fill: "var(--panel)",
        stroke: (row) => cola.OUTCOMES[row.outcome].color,
        strokeWidth: 1.6,
      }),
    ],
  });
};

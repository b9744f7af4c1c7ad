"use strict";
/* Curves: what is reached within a depth, and within a budget. */

const KINDS = {
  found: { label: "gold answer (ORACLE)", color: "var(--right)" },
  decoy: { label: "decoy", color: "var(--control)" },
  random: { label: "random chains (ORACLE)", color: "var(--random)" },
};

/* A step curve with its band. */
cola.band = (points, color, dashed = null) => [
  Plot.areaY(points, { x: WHERE, y1: LOW, y2: HIGH, fill: color, fillOpacity: 0.15, curve: "step-after" }),
  Plot.lineY(points, {
    x: WHERE,
    y: VALUE,
    stroke: color,
    strokeWidth: 2.3,
    curve: "step-after",
    strokeDasharray: dashed,
  }),
];

/* Share of samples with a verified right chain of at most k layers, beside what decoys and random chains reach. */
cola.drawReach = (reach, width) => {
  const series = Object.entries(reach.series);
  return Plot.plot({
    width,
    height: 340,
    marginLeft: 52,
    marginRight: 16,
    marginTop: 26,
    marginBottom: 38,
    x: { label: "at most this many layer runs →", domain: [reach.low, reach.high] },
    y: { label: "↑ share reached", domain: [0, 1], tickFormat: (value) => cola.percent(value) },
    marks: [
      Plot.gridY(GRID),
      Plot.gridX(GRID),
      ...series.flatMap(([kind, points]) => cola.band(points, KINDS[kind].color, kind === "found" ? null : "5 3")),
      cola.reachTip(series),
      ...(reach.base.rate === null ? [] : cola.wholeModel(reach)),
    ],
  });
};

cola.reachTip = (series) => {
  const title = ({ kind, point: [layers, share, low, high] }) =>
    `${KINDS[kind].label}: ${cola.percent(share, 1)} within ${layers} layers\n` +
    `95% interval ${cola.percent(low)} to ${cola.percent(high)}`;
  const rows = series.flatMap(([kind, points]) => points.map((point) => ({ kind, point })));
  return Plot.tip(rows, Plot.pointer({ x: (row) => row.point[0], y: (row) => row.point[1], title }));
};

/* The whole model as a point with its interval. */
cola.wholeModel = ({ base, num_layers: layers, low, high }) => {
  const end = layers > (low + high) / 2;
  const place = { dy: base.rate < 0.12 ? -14 : 16, dx: end ? -5 : 5, textAnchor: end ? "end" : "start" };
  const bar = { stroke: "var(--ink)", strokeWidth: 6, strokeOpacity: 0.25, strokeLinecap: "round" };
  return [
    Plot.ruleX([layers], { y1: base.low, y2: base.high, ...bar }),
    Plot.dot([base], { x: layers, y: "rate", r: 5.5, fill: "var(--ink)" }),
    Plot.text([base], { x: layers, y: "rate", text: () => "whole model", fill: "currentColor", ...place, ...HALO }),
  ];
};

/* A quantity against the layer executions spent per sample; a dashed line is a control at its whole budget. */
cola.drawAnytime = (curve, width, { color, percent }) => {
  const show = (value) => (value === null ? "–" : percent ? cola.percent(value, 1) : value.toFixed(2));
  const share = { domain: [0, 1], tickFormat: (value) => cola.percent(value) };
  const title = ([cost, value, low, high]) =>
    `${show(value)} after ${cola.number(cost, 0)} layer executions\n95% interval ${show(low)} to ${show(high)}`;
  return Plot.plot({
    width,
    height: 250,
    marginLeft: 48,
    marginRight: 14,
    marginTop: 12,
    marginBottom: 38,
    x: { type: "log", label: "layer executions per sample →", tickFormat: "~s", ticks: 5 },
    y: { label: null, ...(percent ? share : { nice: true, zero: true }) },
    marks: [
      Plot.gridY(GRID),
      Plot.gridX(GRID),
      ...cola.controlLines(curve.controls),
      ...cola.band(curve.points, color),
      Plot.tip(curve.points, Plot.pointerX({ x: WHERE, y: VALUE, title })),
      Plot.dot(curve.points.slice(-1), { x: WHERE, y: VALUE, r: 4.5, fill: color }),
      Plot.ruleY([0], { stroke: "var(--muted)" }),
    ],
  });
};

/* Each label stands above its line, or below where there is no room; of two lines close together the lower one's goes below. */
cola.controlLines = (controls) => {
  const sorted = [...controls].sort((a, b) => b.rate - a.rate);
  const shifts = cola.labelShifts(sorted);
  return sorted.flatMap((control, at) => cola.controlLine(control, shifts[at]));
};

cola.labelShifts = ([high, low]) => {
  if (!low) return [high?.rate > 0.88 ? 9 : -8];
  const close = high.rate - low.rate < 0.13;
  if (close && low.rate < 0.08) return [-21, -8];
  const top = high.rate > 0.88 ? 9 : -8;
  return [top, !close ? -8 : top > 0 ? 22 : 9];
};

cola.controlLine = (control, dy) => {
  const { color } = KINDS[control.kind];
  const place = { frameAnchor: "left", dx: 4, dy };
  return [
    Plot.ruleY([control.rate], { stroke: color, strokeWidth: 1.6, strokeDasharray: "5 3" }),
    Plot.text([control], { y: "rate", text: "label", fill: color, ...place, ...HALO }),
  ];
};

"use strict";
/* The page that compares runs: one row a run, and differences from the first one. */

cola.rateCell = (rate) => {
  if (!rate) return cola.numberCell("–");
  const counts = `${rate.count}/${rate.of} [${cola.round(100 * rate.low, 0)}, ${cola.round(100 * rate.high, 0)}]`;
  return cola.numberCell(cola.percent(rate.rate), rate.of ? counts : "no samples");
};

cola.meanCell = (mean) => {
  const interval = mean.low === null ? cola.noInterval(mean) : `[${cola.number(mean.low, 2)}, ${cola.number(mean.high, 2)}]`;
  return cola.numberCell(cola.number(mean.mean, 2), mean.of ? `${interval}  n = ${mean.of}` : "no samples");
};

/* A difference, bold where its interval does not hold 0. */
cola.differenceCell = (change, scale, unit) => {
  if (!change) return cola.numberCell("–");
  const [middle, low, high] = [change.difference, change.low, change.high].map((value) =>
    cola.signed(scale * value, 1),
  );
  const known = change.low !== null;
  const clear = known && (change.low > 0 || change.high < 0);
  const how = change.paired ? `paired, ${change.of}` : "unpaired";
  const value = cola.h("span", { style: clear ? "font-weight:650" : "" }, `${middle}${unit}`);
  return cola.numberCell(value, `${known ? `[${low}, ${high}]` : cola.noInterval(change)}  ${how}`);
};

const RESULT_HEADS = [
  ["run", false],
  ["what differs", false],
  ["base", true],
  ["found (ORACLE)", true],
  ["fixed (ORACLE)", true],
  ["decoy reached", true],
  ["random chains (ORACLE)", true],
  ["shortened (ORACLE)", true],
  ["layers saved (ORACLE)", true],
  ["evaluations", true],
  ["layer executions", true],
  ["verdicts confirmed", true],
];

cola.resultRow = ({ name, link, settings, summary }) => {
  const text = link ? cola.h("a", { href: link, style: "color:var(--accent)" }, name) : name;
  const facts = [summary.model, summary.task, cola.counted(summary.samples, "sample")].filter(Boolean).join(" · ");
  return cola.h(
    "tr",
    { "data-run": name },
    cola.h("td", {}, cola.h("b", {}, text), cola.h("small", {}, facts)),
    cola.h("td", { class: "mono" }, settings),
    cola.rateCell(summary.base_accuracy),
    cola.rateCell(summary.found_accuracy_oracle),
    cola.rateCell(summary.fixed),
    cola.rateCell(summary.controls.decoy?.base_wrong_reached),
    cola.rateCell(summary.controls.random?.base_wrong_reached),
    cola.rateCell(summary.shortened),
    cola.meanCell(summary.layers_saved),
    cola.numberCell(cola.number(summary.evaluations, 0)),
    cola.numberCell(cola.number(summary.layer_executions, 0)),
    cola.rateCell(summary.verification_agreement),
  );
};

const DIFFERENCE_HEADS = [
  ["run", false],
  ["shared samples", true],
  ["base", true],
  ["found (ORACLE)", true],
  ["fixed (ORACLE)", true],
  ["shortened (ORACLE)", true],
  ["layers saved (ORACLE)", true],
];

cola.differenceRow = ({ name, shared, differences }) => {
  const points = ["base", "found", "fixed", "shortened"].map((key) =>
    cola.differenceCell(differences[key], 100, " pts"),
  );
  const cells = [...points, cola.differenceCell(differences.saved, 1, "")];
  return cola.h(
    "tr",
    { "data-run": name },
    cola.h("td", {}, cola.h("b", {}, name)),
    cola.numberCell(String(shared)),
    cells,
  );
};

/* One chart of rates, run by run; `ticks` are controls of the same runs. */
cola.rateFigure = (runs, name, title, pick, color, ticks = []) => {
  const rows = runs.map((run) => ({ label: run.name, color, ...pick(run.summary) }));
  const text = `Dot: rate. Bar: 95% interval.${ticks.length ? " Orange tick: decoys reached." : ""}`;
  return cola.figure({ name, title, text, draw: (width) => cola.forest(rows, width, { ticks }) });
};

cola.savedFigure = (runs) => {
  const rows = runs
    .map(({ name, summary: { layers_saved: saved } }) => ({
      label: name,
      color: "var(--shortened)",
      rate: saved.mean,
      ...saved,
    }))
    .filter((row) => row.low !== null);
  const domain = [Math.min(0, ...rows.map((row) => row.low)), Math.max(1, ...rows.map((row) => row.high))];
  const options = { label: "layers saved", domain, percent: false };
  const title = "Mean layers saved, base right (ORACLE)";
  const draw = (width) => cola.forest(rows, width, options);
  return rows.length ? cola.figure({ name: "saved", title, text: "Dot: mean. Bar: 95% interval.", draw }) : null;
};

cola.comparisonFigures = (runs) => {
  const decoys = runs
    .map((run) => ({ label: run.name, ...run.summary.controls.decoy?.base_wrong_reached }))
    .filter((row) => row.of);
  return cola.h(
    "div",
    { class: "columns" },
    cola.rateFigure(
      runs,
      "fixed",
      "Fixed, of base-wrong (ORACLE)",
      (summary) => summary.fixed,
      "var(--fixed)",
      decoys,
    ),
    cola.rateFigure(
      runs,
      "shortened",
      "Shortened, of base-right (ORACLE)",
      (summary) => summary.shortened,
      "var(--shortened)",
    ),
    cola.savedFigure(runs),
    cola.rateFigure(runs, "base", "Whole model is right", (summary) => summary.base_accuracy, "var(--ink)"),
  );
};

cola.comparePage = async (page) => {
  const { runs, reference, left_out: leftOut } = cola.data;
  const lede =
    "Every rate with its counts and its 95% interval. ORACLE: the chain was chosen with the gold answer of the very " +
    "sample. The decoy rate beside it is what the same search reaches when it is sent after a wrong answer.";
  const method =
    "Paired over the samples that both runs judged, where they share any (Bonett and Price for shares, Student's t for " +
    "means); else unpaired (Newcombe). Bold: the interval does not hold 0. Many rows make a chance hit likely.";
  const panel = (heads, rows) => cola.h("div", { class: "panel scroll" }, cola.table(heads, rows));
  const others = runs.filter((run) => run.differences);
  const warnings = runs.flatMap(({ name, summary }) => summary.warnings.map((text) => [cola.h("b", {}, `${name}: `), text]));
  const sections = [
    cola.section(
      "results",
      "Results",
      null,
      panel(RESULT_HEADS, runs.map(cola.resultRow)),
      cola.notice("Before you quote any of this", warnings),
    ),
    cola.section("figures", "Figures", null, cola.comparisonFigures(runs)),
    cola.section(
      "differences",
      `Differences from ${reference}`,
      method,
      panel(DIFFERENCE_HEADS, others.map(cola.differenceRow)),
    ),
  ];
  const header = cola.h(
    "header",
    {},
    cola.h("h1", {}, `${runs.length} runs compared`),
    cola.h("p", { class: "lede" }, lede),
    cola.notice("Left out, for they cannot be read", leftOut),
  );
  const links = [
    ["results", "Results"],
    ["figures", "Figures"],
    ["differences", "Differences"],
  ];
  page.append(cola.topbar(links), cola.h("main", { class: "wide" }, header, sections, cola.foot()));
};

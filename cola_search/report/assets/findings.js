"use strict";
/* What a run found, in words and numbers, beside its controls. */

cola.interval = (rate) =>
  rate.low === null ? "" : `95% interval ${cola.percent(rate.low)} to ${cola.percent(rate.high)}`;

/* A line of a card: what, and its number on the right. */
cola.fact = (name, value) => cola.h("div", { class: "fact" }, cola.h("span", {}, name), cola.h("b", {}, value));

cola.card = ({ label, value, detail, against = [], color, oracle }) => {
  const lines = detail.filter(Boolean).map((line) => cola.h("div", {}, line));
  return cola.h(
    "div",
    { class: "panel card", style: color ? `--card:${color}` : "" },
    cola.h("div", { class: "label" }, label, oracle ? cola.oracle() : null),
    cola.h("div", { class: "value" }, value),
    cola.h("div", { class: "detail" }, lines),
    against.length ? cola.h("div", { class: "against" }, against) : null,
  );
};

cola.rateLines = (rate, of) => [`${rate.count} of ${rate.of} ${of}`, cola.interval(rate)];

/* What stands beside the fix rate, because alone it means little. */
cola.besideFixes = ({ controls, probes }) => {
  const drawn = probes.pass_at_k;
  const rates = [
    ["decoys", controls.decoy?.base_wrong_reached],
    ["random", controls.random?.base_wrong_reached],
    [`pass@${drawn?.k}`, drawn?.base_wrong_reached],
  ].filter(([, rate]) => rate && rate.rate !== null);
  if (!rates.length) return [cola.h("span", {}, "no control was run")];
  return rates.map(([name, rate]) => cola.fact(`${name}, ${rate.count}/${rate.of}`, cola.percent(rate.rate)));
};

cola.baseCard = ({ base_accuracy: base, facts }) => {
  const floors = [
    ["guessing", facts.chance],
    ["most frequent answer", facts.majority],
  ].filter(([, share]) => share !== null);
  const against = floors.map(([name, share]) => cola.fact(name, cola.percent(share)));
  return cola.card({
    label: "whole model",
    value: cola.percent(base.rate),
    detail: cola.rateLines(base, "right"),
    against,
  });
};

cola.savedCard = ({ layers_saved: saved, num_layers: layers, controls }) => {
  const decoy = controls.decoy?.length;
  const limits = `95% interval ${cola.number(saved.low)} to ${cola.number(saved.high)}`;
  const interval = saved.low === null ? cola.noInterval(saved) : limits;
  const detail = [saved.of ? `mean, of ${layers}; n = ${saved.of} base-right` : "no sample base-right", interval];
  const against = decoy?.of ? [cola.fact(`decoys, n = ${decoy.of}`, cola.number(layers - decoy.mean))] : [];
  const look = { color: "var(--shortened)", oracle: true };
  return cola.card({ label: "layers saved", value: cola.number(saved.mean), detail, against, ...look });
};

cola.cards = (summary) => {
  const { fixed, shortened, verification_agreement: agreement } = summary;
  const fixes = {
    label: "fixed",
    value: cola.percent(fixed.rate),
    detail: cola.rateLines(fixed, "base-wrong"),
    color: "var(--fixed)",
    oracle: true,
    against: cola.besideFixes(summary),
  };
  const shorter = {
    label: "shortened",
    value: cola.percent(shortened.rate),
    detail: cola.rateLines(shortened, "base-right"),
    color: "var(--shortened)",
    oracle: true,
  };
  const confirmed = {
    label: "verdicts confirmed",
    value: cola.percent(agreement.rate),
    detail: agreement.of ? cola.rateLines(agreement, "checked") : ["none was checked"],
    against: [cola.fact("near ties", cola.number(summary.near_ties, 0))],
  };
  const cards = [cola.baseCard(summary), cola.card(fixes), cola.card(shorter), cola.savedCard(summary)];
  return cola.h("div", { class: "cards" }, cards, cola.card(confirmed));
};

/* The result in two sentences, with the decoys in the same breath as the fixes. */
cola.lede = ({ fixed, shortened, controls, layers_saved: saved, num_layers: layers }) => {
  const decoy = controls.decoy?.base_wrong_reached;
  const luck = decoy?.of ? `; sent after a wrong answer instead, it got there for ${decoy.count} of ${decoy.of}` : "";
  const all = saved.of === 1 ? "its shortest right chain has" : `the shortest right chains of all ${saved.of} have a mean of`;
  const depth = saved.mean === null ? "" : `; ${all} ${cola.counted(cola.round(layers - saved.mean, 1), "layer")}`;
  const sentences = [
    fixed.of &&
      "With the gold answer to guide it (ORACLE), the search found a chain that answers right for " +
        `${fixed.count} of the ${cola.counted(fixed.of, "sample")} that the whole model gets wrong${luck}.`,
    shortened.of &&
      `Of the ${cola.counted(shortened.of, "sample")} that the model gets right, ` +
        `${cola.counted(shortened.count, "needs", "need")} fewer than its ${layers} layers${depth}.`,
  ];
  return sentences.filter(Boolean).join(" ");
};

cola.heading = (run, summary) => {
  const controlled = [summary.controls, summary.probes].some((all) => Object.values(all).some(Boolean));
  const facts = [
    ["samples", cola.number(summary.samples, 0)],
    ["layers", summary.num_layers || null],
    ["metric", summary.facts.metric],
    ["evaluations", cola.number(summary.evaluations, 0)],
    ["layer executions", cola.number(summary.layer_executions, 0)],
    [`evaluations per second${controlled ? ", with the time of controls" : ""}`, cola.number(summary.evaluations_per_second)],
    ["seed", run.run.seed],
    ["run", run.name],
    ["cola_search", run.run.version],
  ];
  const known = facts.filter(([, value]) => ![null, undefined, "", "–"].includes(value));
  const chips = known.map(([name, value]) =>
    cola.h("span", { class: "chip" }, `${name} `, cola.h("b", {}, String(value))),
  );
  const on = cola.h("span", { style: "color:var(--muted);font-weight:500" }, " on ");
  const title = cola.h("h1", {}, summary.samples ? [summary.model, on, summary.task] : "No samples yet");
  return cola.h(
    "header",
    {},
    title,
    cola.h("p", { class: "lede" }, cola.lede(summary)),
    cola.h("div", { class: "chips" }, chips),
  );
};

cola.section = (id, title, note, ...children) => {
  const lead = note ? cola.h("p", { class: "note", style: "margin-top:.3rem" }, note) : null;
  return cola.h("section", { id }, cola.h("div", {}, cola.h("h2", {}, title), lead), ...children);
};

/* A list of sentences that must not be overlooked; nothing if there is none. */
cola.notice = (title, sentences) => {
  const items = sentences.map((text) => cola.h("li", {}, text));
  return items.length ? cola.h("div", { class: "notice" }, cola.h("b", {}, title), cola.h("ul", {}, items)) : null;
};

cola.findings = (summary, forest) => {
  const note =
    "Intervals are 95%: Wilson's for shares (tries of one sample taken together), Learned-Miller and Thomas's for means of " +
    "what has bounds, such as layers saved, Student's t for others. ORACLE: the right chain was chosen with the gold answer " +
    "of the very sample; it is no " +
    "accuracy that one could deploy. A control shows what the same search reaches by luck.";
  const rates = {
    name: "findings",
    title: "Rates beside their controls",
    text: "Dot: rate. Bar: 95% interval. Right: counts.",
    draw: (width) => cola.forest(forest, width),
  };
  return cola.section(
    "findings",
    "Findings",
    note,
    cola.cards(summary),
    cola.notice("Before you quote any of this", summary.warnings),
    forest ? cola.figure(rates) : null,
  );
};

const cut = (text, most) => (text.length > most ? `${text.slice(0, most)} …` : text);

cola.example = (example, numLayers, open) => {
  const answers = example.fixed && example.base_answer ? [example.base_answer, example.gold] : [example.gold];
  return cola.h(
    "div",
    { class: "chain-block" },
    cola.h(
      "div",
      { class: "facts" },
      cola.badge(example.fixed ? "fixed" : "shortened"),
      cola.h("b", {}, `${numLayers} → ${cola.counted(example.length, "layer run")}`),
      cola.h("span", {}, answers.map((text) => `“${cut(text, 60)}”`).join(" → ")),
      cola.oracle(),
      open && cola.h("button", { class: "button", type: "button", onclick: open }, "open"),
    ),
    cola.h("p", { class: "note" }, cut(example.question, 220)),
    cola.fittedStrip(cola.parseChain(example.chain), numLayers),
  );
};

cola.examples = (summary, rows, open) => {
  const note =
    "The shortest chains of this run. Solid: a layer that runs. Dashed: skipped. Amber: another run of the same layer.";
  const blocks = summary.examples.map((example) => {
    const row = rows.find((candidate) => candidate.id === example.sample);
    return cola.example(example, summary.num_layers, row && (() => open(row, rows))); // a large run does not show all
  });
  return cola.section("chains", "Chains at work", note, cola.h("div", { class: "panel" }, blocks));
};

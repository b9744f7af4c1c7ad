"use strict";
/* The page of one run. */

const USES = [
  ["skipped", "var(--skip)"],
  ["once", "var(--once)"],
  ["repeated", "var(--repeat)"],
];

cola.depthSection = ({ depth, usage, voids }) => {
  const use = (group) =>
    usage[group].of &&
    cola.figure({
      name: `usage-${group}`,
      title: `Layer use: ${group} samples`,
      text: `the best chains of ${cola.counted(usage[group].of, "sample")}`,
      legend: USES,
      draw: (width) => cola.drawUsage(usage[group], width),
    });
  const before = cola.figure({
    name: "depth",
    title: "Depth before and after",
    text:
      "Length of the shortest right chain. Dashed: the whole model. Triangle: mean. " +
      "Orange: chains that reached a decoy, so luck.",
    draw: (width) => cola.drawDepth(depth, width),
  });
  const uses = ["fixed", "shortened"].map(use).filter(Boolean);
  const traced =
    voids &&
    cola.figure({
      name: "voids",
      title: "Layers by phase: what the prior saw",
      text:
        `Share of tokens that use each layer (1 - voids, alpha ${voids.alphas.join(", ")}), mean of ` +
        `${cola.counted(voids.of, "sample")}; below, the share of their best chains that run it (ORACLE).`,
      draw: (width) => cola.drawVoids(voids, width),
    });
  const columns = cola.h("div", { class: "columns" }, uses);
  return cola.section("depth", "Depth and layer use", null, ...[before, columns, traced].filter(Boolean));
};

cola.paretoSection = ({ cloud, reach }) => {
  const clouds = cola.figure({
    name: "cloud",
    title: "Pareto cloud",
    text: `${cola.counted(cloud.chains, "chain")} evaluated. Rings: the best chain of a sample.`,
    legend: [
      ["right", "var(--right)"],
      ["wrong", "var(--wrong)"],
    ],
    draw: (width) => cola.drawCloud(cloud, width),
  });
  const within = cola.figure({
    name: "reach",
    title: "Share reached within a depth",
    text: "ORACLE: any right chain of at most so many layers, with 95% bands.",
    legend: Object.keys(reach.series).map((kind) => [KINDS[kind].label, KINDS[kind].color]),
    draw: (width) => cola.drawReach(reach, width),
  });
  return cola.section("pareto", "Right and short", null, cola.h("div", { class: "columns" }, clouds, within));
};

cola.anytimeSection = (anytime) => {
  const curve = (name, title, color, percent) =>
    cola.figure({
      name: `anytime-${name}`,
      title,
      text: `over ${cola.counted(anytime[name].of, "sample")}`,
      draw: (width) => cola.drawAnytime(anytime[name], width, { color, percent }),
    });
  const curves = [
    anytime.fixed.of && curve("fixed", "Fixed, of base-wrong", "var(--fixed)", true),
    anytime.shortened.of && curve("shortened", "Shortened, of base-right", "var(--shortened)", true),
    anytime.saved.of && curve("saved", "Mean layers saved, base right", "var(--shortened)", false),
  ].filter(Boolean);
  const note =
    "What had been found after so many layer executions a sample (ORACLE). An event counts when the search first saw " +
    "it, and only if its sample counts in the verified rate, so each curve ends at the headline. " +
    "Dashed lines: controls with their whole budget.";
  return cola.section("anytime", "Anytime", note, cola.h("div", { class: "columns three" }, curves));
};

/* The sample that the address names; none if it was typed or cut so that it cannot be read. */
const linkedSample = () => {
  try {
    return decodeURIComponent(location.hash.match(/^#sample=(.*)$/)?.[1] ?? "");
  } catch {
    return "";
  }
};

cola.runPage = async (page) => {
  const { summary, figures } = cola.data;
  const rows = cola.makeRows(await cola.unpack("samples"));
  const sheet = cola.sampleSheet(summary.num_layers);
  const note =
    "Click a row to open it. Margin, in nats: of options, the log-probability of the gold one minus that of the best other; " +
    "of a written answer, the mean lead of the gold answer's tokens, 0 where the model writes it.";
  const judged = Object.keys(figures).length > 0;
  const sections = [
    cola.findings(summary, judged ? figures.forest : null),
    summary.examples.length ? cola.examples(summary, rows, sheet.show) : null,
    ...(judged
      ? [cola.depthSection(figures), cola.paretoSection(figures), cola.anytimeSection(figures.anytime)]
      : []),
    cola.section("samples", "All samples", note, cola.sampleTable(rows, summary.num_layers, sheet.show)),
  ].filter(Boolean);
  const names = { findings: "Findings", chains: "Chains", depth: "Depth", pareto: "Pareto", anytime: "Anytime" };
  const links = sections.map(({ id }) => [id, names[id] ?? "Samples"]);
  page.append(
    cola.topbar(links),
    sheet.dialog,
    cola.h("main", {}, cola.heading(cola.data, summary), sections, cola.foot()),
  );
  const openLinked = () => {
    const row = rows.find((candidate) => candidate.id === linkedSample());
    if (row) sheet.show(row, rows);
  };
  addEventListener("hashchange", openLinked);
  openLinked();
};

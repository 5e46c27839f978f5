// Colours by CSS variables, so that light, dark and print need no second drawing.
const vegaTheme = {
  background: "transparent",
  font: "system-ui, \"Segoe UI\", \"Noto Sans\", sans-serif",
  title: {color: "var(--ink)", fontSize: 13, fontWeight: 600, anchor: "start", offset: 12},
  axis: {
    labelColor: "var(--dim)", titleColor: "var(--dim)", labelFontSize: 11, titleFontSize: 11, titleFontWeight: 400,
    domainColor: "var(--line)", tickColor: "var(--line)", gridColor: "var(--line)", gridOpacity: 0.6, labelLimit: 160,
  },
  axisX: {grid: false, labelOverlap: true, labelSeparation: 6},
  header: {labelColor: "var(--ink)", titleColor: "var(--dim)", labelFontSize: 12, labelFontWeight: 600, labelAnchor: "start"},
  legend: {
    labelColor: "var(--ink)", titleColor: "var(--dim)", titleFontWeight: 400, labelFontSize: 12, symbolSize: 70,
    symbolBaseFillColor: "var(--ink)", symbolBaseStrokeColor: "var(--ink)",
    columnPadding: 18, orient: "top", direction: "horizontal", title: null,
  },
  view: {stroke: null},
  text: {color: "var(--ink)"},
  mark: {color: "var(--accent)"},
  // Of revisions.
  range: {ordinal: ["var(--accent)", "var(--other-1)", "var(--uniform)", "var(--base)"]},
};

// Colour and shape of the arms that always run, and those that other arms take in turn.
const armLooks = new Map([
  ["base", ["var(--base)", "circle"]], ["uniform", ["var(--uniform)", "square"]], ["weighting", ["var(--accent)", "diamond"]],
]);
const otherLooks = [
  ["var(--other-1)", "triangle-up"], ["var(--other-2)", "cross"], ["var(--other-3)", "triangle-down"],
  ["var(--other-4)", "triangle-right"], ["var(--other-5)", "triangle-left"],
];

// A plot with its arms in the order of its data. The usual arms have the same look in every plot.
function withArms(plot) {
  const arms = [...new Set((plot.data?.values ?? []).map((row) => row.arm))].filter((arm) => arm !== undefined);
  const others = arms.filter((arm) => !armLooks.has(arm));
  const look = (arm) => armLooks.get(arm) ?? otherLooks[others.indexOf(arm) % otherLooks.length];
  const walk = (part) => {
    for (const [channel, value] of Object.entries(part)) {
      if (channel === "data" || !value || typeof value !== "object") continue;
      if (value.field !== "arm") walk(value);
      else if (channel === "row") value.sort = arms;
      else value.scale = {domain: arms, range: arms.map((arm) => look(arm)[channel === "shape" ? 1 : 0])};
    }
  };
  if (arms.length) walk(plot);
  return plot;
}

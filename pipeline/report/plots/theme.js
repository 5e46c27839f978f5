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
  // Arms; revisions.
  range: {
    category: [
      "var(--base)", "var(--uniform)", "var(--accent)",
      "var(--other-1)", "var(--other-2)", "var(--other-3)", "var(--other-4)", "var(--other-5)",
    ],
    ordinal: ["var(--accent)", "var(--other-1)", "var(--uniform)", "var(--base)"],
  },
};

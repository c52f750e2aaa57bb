"""How a report of valuations looks on a screen, a phone and paper."""

STYLE = """
:root { color-scheme: light; --paper: #fdfcfa; --ink: #22211f; --faint: #666159; --rule: #e2ded5; --band: #2f6f8f; --mark: #b3471d;
  --up: #2f6f8f; --down: #c07a2c; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 1rem 1.25rem 3rem; }
h1, h2, h3, .value { font-family: Georgia, "Times New Roman", serif; font-weight: normal; line-height: 1.25; }
h1 { font-size: 2rem; margin: 1rem 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h3 { font: 600 .8rem/1.4 system-ui, sans-serif; margin: 1.25rem 0 .35rem; color: var(--faint); letter-spacing: .02em; }
p { margin: 0 0 .75rem; max-width: 46rem; overflow-wrap: anywhere; }
a { color: inherit; }
section { border-top: 1px solid var(--rule); padding: 1.5rem 0 1rem; margin-top: 1rem; }
.faint, figcaption { color: var(--faint); font-size: .875rem; }
.two { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 3fr); gap: 0 2.5rem; align-items: start; }
.charts { columns: 24rem 2; column-gap: 2.5rem; }
.charts h3 { margin-top: 0; }
.charts figure { break-inside: avoid; padding-bottom: .5rem; }
.value { font-size: 2rem; margin: 0; }
.value small { font-size: 1.1rem; color: var(--faint); }
.flags { list-style: none; margin: .75rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem; }
.flags li { border: 1px solid var(--mark); color: var(--mark); border-radius: .25rem; padding: 0 .5rem; font-size: .875rem;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(5rem, auto) minmax(0, 1fr); gap: .15rem 1rem; margin: 0; font-size: .925rem; }
dt { color: var(--faint); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 0 0 1rem; }
img { display: block; max-width: 100%; max-height: 20rem; height: auto; width: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .925rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; font-weight: normal;
  overflow-wrap: anywhere; }
thead th { color: var(--faint); font-size: .8rem; }
td.number, th.number { text-align: right; white-space: nowrap; overflow-wrap: normal; }
table.words th { white-space: nowrap; }
table.sold-lots .number { width: 1%; }
table.strips { table-layout: fixed; }
table.strips th, table.strips td { border: 0; padding: .05rem .6rem .05rem 0; vertical-align: middle; line-height: 1.25; }
table.strips td:last-child { padding-right: 0; }
table.strips th { width: 36%; }
table.strips td.number { width: 4.25rem; font-size: .875rem; }
svg { display: block; overflow: visible; }
.grid { stroke: var(--rule); stroke-width: 1; }
.zero { stroke: var(--faint); stroke-width: 1; }
.tick, .name { font-size: 12px; fill: var(--faint); font-family: system-ui, sans-serif; }
.band { fill: var(--band); fill-opacity: .28; }
.chance { fill: var(--band); fill-opacity: .28; }
.quartiles { fill: var(--band); fill-opacity: .4; }
.up { fill: var(--up); }
.down { fill: var(--down); }
.promise { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 3 2; }
.at { stroke: var(--ink); stroke-width: 2.5; }
.mark { fill: var(--mark); }
.sold { fill: none; stroke: var(--mark); stroke-width: 1.5; }
.dots circle { fill: var(--band); fill-opacity: .35; }
.same { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 4 3; }
.middle { stroke: var(--mark); stroke-width: 3; }
.part0 { fill: #2f6f8f; }
.part1 { fill: #94b7b0; }
.part2 { fill: #d9a866; }
.part3 { fill: #b9b4aa; }
.key { display: inline-block; width: .7rem; height: .7rem; margin: 0 .35rem 0 0; }
.holds { font-weight: 600; }
@media (max-width: 640px) {
  main { padding: .5rem 1rem 2rem; }
  h1 { font-size: 1.6rem; }
  .two { display: block; }
  th, td { padding-right: .6rem; }
  table.strips th { width: 38%; font-size: .85rem; }
  table.strips td.number { width: 3.75rem; }
  .wide { display: none; }
}
@media print {
  @page { margin: 14mm; }
  :root { --paper: #fff; --ink: #000; --faint: #333; --rule: #bbb; }
  body { font-size: 9.5pt; }
  img { max-height: 9rem; }
  section { padding: .75rem 0 .25rem; margin-top: .5rem; }
  h3 { margin-top: .75rem; }
  main { max-width: none; padding: 0; }
  section.lot, figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  section.trust { break-before: page; }
  a { text-decoration: none; }
}
"""

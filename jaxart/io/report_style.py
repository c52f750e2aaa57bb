"""How a report looks, and the one thing that moves on it."""

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --ink: #22211f; --faint: #6a675f; --rule: #dedad0; --mark: #b3471d; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #191816; --ink: #ebe8e1; --faint: #a39e93; --rule: #3a3732; --mark: #f0915f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
section { border-top: 1px solid var(--rule); padding: 1.5rem 0; }
ol { margin: 0 0 1rem; padding-left: 1.5rem; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--faint); font-size: .875rem; margin-top: .25rem; }
img { display: block; max-width: 100%; height: auto; }
.slider { position: relative; --at: 50%; overflow: hidden; }
.slider img { width: 100%; }
.slider .before { position: absolute; inset: 0; height: 100%; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.slider input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; touch-action: pan-y; }
.slider input::-webkit-slider-thumb { -webkit-appearance: none; width: 2px; height: 100%; }
.slider input::-moz-range-thumb { width: 2px; height: 100%; border: 0; }
.line { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 0 1px rgba(0, 0, 0, .45); pointer-events: none; }
.line::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 2.25rem; height: 2.25rem;
  transform: translate(-50%, -50%);
  border-radius: 50%; background: #fff; color: #222; font-size: 1.2rem; line-height: 2.2rem; text-align: center;
  box-shadow: 0 0 0 1px rgba(0, 0, 0, .45); }
.slider input:focus-visible ~ .line, .slider input:focus-visible ~ .line::after { background: var(--mark); }
.word { position: absolute; top: .5rem; padding: 0 .5rem; border-radius: .25rem; background: rgba(0, 0, 0, .6); color: #fff;
  font-size: .8rem; pointer-events: none; }
.left { left: .5rem; }
.right { right: .5rem; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; align-items: start; }
.legend { display: flex; align-items: center; gap: .5rem; max-width: 20rem; font-variant-numeric: tabular-nums; }
.bar { flex: 1; height: .6rem; border: 1px solid var(--rule); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { text-align: left; padding: .2rem 1.5rem .2rem 0; border-bottom: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: anywhere; }
th { font-weight: normal; color: var(--faint); }
@media print {
  :root { --paper: #fff; --ink: #000; --faint: #444; --rule: #bbb; }
  section, figure { break-inside: avoid; }
  .slider { display: flex; flex-direction: row-reverse; gap: 2%; overflow: visible; }
  .slider img, .slider .before { position: static; width: 49%; height: auto; clip-path: none; }
  .slider input, .line { display: none; }
  .bar { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SCRIPT = """
for (const input of document.querySelectorAll(".slider input")) {
  const show = () => input.parentElement.style.setProperty("--at", input.value + "%");
  input.addEventListener("input", show);
  show();
}
"""

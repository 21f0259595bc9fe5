"""The look of a page: light and dark, on a desk, on a phone and on paper."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bar: #c2410c; --tick: #8883; --axis: #6b7280;
  --gain: #1d4ed8; --loss: #b91c1c; --same: #475569; --quiet: color-mix(in srgb, currentColor 72%, transparent) }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1.2rem 1rem 3rem;
  overflow-wrap: break-word }
h1 { margin: 0 0 1rem; font-size: 2rem; line-height: 1.15; letter-spacing: -.01em }
h2, h3 { line-height: 1.3 } h2 { font-size: 1.3rem; display: inline } h3 { font-size: 1.05rem; margin: 1.2rem 0 .3rem }
p { margin: .6rem 0 }
.kicker { margin: 0 0 .2rem; font-size: .92rem; color: var(--quiet) }
details { border-top: 1px solid var(--line); margin-top: 1.2rem; padding-top: .7rem }
details details { border: 0; margin-top: .4rem; padding-top: 0 }
summary { cursor: pointer; margin-bottom: .4rem } summary h3 { display: inline }
details > div { scroll-margin-top: 3.5rem }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1rem 0 0; padding: 0 }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0 0; font-size: .94rem }
dt { font-size: .82rem; color: var(--quiet) } dd { margin: 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem }
caption { text-align: left; padding-bottom: .3rem }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2.2rem) }
.scroll { overflow-x: auto; margin: .6rem 0 }
th, td { text-align: right; padding: .3rem .45rem; border-bottom: 1px solid var(--line); vertical-align: top }
thead th { vertical-align: bottom }
td { white-space: nowrap } th:first-child, td:first-child, .text { text-align: left }
td:first-child, td.text { white-space: normal; min-width: 7rem }
tr.more td:first-child { text-align: right; white-space: nowrap; min-width: 0 }
tr.best td { font-weight: 600; background: var(--soft) }
.bar { display: block; height: .7em; margin-top: .4em; min-width: 2px; background: var(--bar);
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.grid, .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
  gap: 1rem 1.5rem; align-items: start }
.grid > .scroll { margin: .2rem 0 }
figure { margin: .4rem 0; min-width: 0 }
img { display: block; width: 100%; max-width: 660px; height: auto; background: #fff; border-radius: 6px;
  margin-bottom: .3rem }
.card { border: 1px solid var(--line); border-top: 4px solid var(--tone); border-radius: 8px;
  padding: .8rem 1rem .5rem }
.card h2 { display: block; margin: 0; font-size: 1rem; font-weight: 600; color: var(--quiet) }
.gain { --tone: var(--gain) } .loss { --tone: var(--loss) } .same { --tone: var(--same) }
.badge { margin: .1rem 0; font-size: 1.5rem; font-weight: 700; line-height: 1.25; color: var(--tone) }
.badge span { font-size: .8em } .size { margin: 0 0 .7rem } .size b { white-space: nowrap }
.forest { font-size: .88rem; line-height: 1.3 }
.forest td, .forest th { border: 0; padding: .35rem 0; vertical-align: middle; text-align: right }
.forest th:first-child { text-align: left; width: 35% } .forest thead th { font-size: .82rem; color: var(--quiet) }
.forest thead th, .forest tbody th { font-weight: 400 }
.forest tbody tr:first-child th, .forest tbody tr:first-child td { font-weight: 600 }
.forest small { display: block; font-size: .8rem; font-weight: 400; color: var(--quiet) }
.forest td:last-child { padding-left: .7rem; width: 5.6rem }
.plot, .axis { position: relative } .plot i { position: absolute }
.plot .tick, .plot .zero { top: 0; bottom: 0; border-left: 1px solid var(--tick) }
.plot .zero { border-left: 1.5px solid var(--axis) }
.plot .span { top: 50%; border-top: 3px solid var(--tone); transform: translateY(-50%) }
.plot .mean, .plot .one { top: 50%; transform: translate(-50%, -50%); border-radius: 50% }
.plot .mean { border: 6px solid var(--tone) } .plot .one { border: 3px solid var(--axis); margin-top: .62rem }
.axis span { position: absolute; top: .1rem; transform: translateX(-50%); font-size: .78rem; color: var(--quiet) }
.forest tfoot td { height: 1.4rem; padding: 0 }
.ends { display: flex; justify-content: space-between; gap: .5rem; font-size: .82rem; color: var(--quiet) }
.verdict { padding-left: 1.1rem; margin: .8rem 0 } .verdict li { margin: .25rem 0 }
.note, figcaption, caption { font-size: .9rem; color: var(--quiet) }
code, pre { background: var(--soft); border-radius: 4px } code { padding: .1rem .3rem; overflow-wrap: anywhere }
pre { padding: .6rem .8rem; margin: .6rem 0; white-space: pre-wrap; overflow-wrap: anywhere; user-select: all }
pre code { background: none; padding: 0 }
@media (prefers-color-scheme: dark) {
  :root { --gain: #93c5fd; --loss: #fca5a5; --same: #cbd5e1; --axis: #9ca3af }
  .chart img { filter: invert(.93) hue-rotate(180deg) } a { color: #8ab4f8 } }
@media (max-width: 30rem) { h1 { font-size: 1.6rem } dl { gap: .4rem 1.4rem } table { font-size: .8rem }
  th, td { padding: .3rem .2rem } td:first-child { min-width: 4.2rem } td.text { min-width: 3.8rem }
  .card { padding: .7rem .7rem .4rem } .forest { font-size: .82rem } .forest th:first-child { width: 33% }
  .forest td:last-child { width: 4.7rem; padding-left: .4rem } }
@media print {
  :root { color-scheme: light } body { max-width: none; padding: 0; font-size: 10.5pt } nav { display: none }
  h2, h3, summary, caption { break-after: avoid } figure, tr, .card { break-inside: avoid }
  .scroll { overflow: visible } .grid, .cards { grid-template-columns: 1fr 1fr } .chart img { filter: none }
  table { font-size: 8.5pt } .forest td:last-child { width: 4.6rem }
}
"""

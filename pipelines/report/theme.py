"""Style: the report's look. Light, calm, one column on a phone and three on a wide
screen."""

CSS = """\
:root { --ink: #2b3440; --muted: #5c6773; --line: #e3e7ec; --paper: #ffffff; --ground: #f6f8fa; --accent: #35618f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 1320px; margin: 0 auto; padding: 0 16px; }
h1 { margin: 28px 0 12px; font-size: 28px; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 40px 0 8px; font-size: 21px; }
h3 { margin: 0 0 6px; font-size: 16px; overflow-wrap: anywhere; }
p { margin: 0 0 12px; max-width: 74ch; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin-bottom: 14px; }
.tiles div { flex: 1 1 92px; max-width: 180px; padding: 8px 12px; background: var(--paper); border: 1px solid var(--line);
  border-radius: 8px; }
.tiles b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--muted); font-size: 14px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; }
nav a { color: var(--accent); text-decoration: none; padding: 4px 0; }
nav a:hover, nav a:focus { text-decoration: underline; }
.grid { display: grid; gap: 0 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); align-items: start; }
@media (min-width: 720px) { .grid:has(> :nth-child(4):last-child) { grid-template-columns: 1fr 1fr; } }
header a { color: var(--accent); }
figure, .reason { margin: 0 0 16px; padding: 14px; break-inside: avoid; background: var(--paper); border: 1px solid var(--line);
  border-radius: 10px; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 460px; margin: 0 auto; }
figure svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans",
  sans-serif !important; }
figcaption { margin-top: 8px; color: var(--muted); font-size: 14.5px; overflow-wrap: anywhere; }
.reason h3::first-letter { text-transform: uppercase; }
.reason h3 span { color: var(--muted); font-weight: normal; font-size: 14.5px; }
.reason ul { margin: 0; padding-left: 18px; font-size: 14.5px; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
footer { padding-top: 24px; padding-bottom: 32px; color: var(--muted); font-size: 14.5px; }
.up { position: fixed; right: 14px; bottom: 14px; width: 40px; height: 40px; border-radius: 20px; background: var(--paper);
  border: 1px solid var(--line); color: var(--accent); text-align: center; line-height: 38px; text-decoration: none; }
@media print { body { background: #fff; } figure, .reason { break-inside: avoid; } nav, .up, button.play { display: none; } }
"""

"""The style sheet of a report: light and dark, on paper always light.

The page names its hash in its own content security policy, so that nothing else in it can set a style.
"""

from __future__ import annotations

import base64
import hashlib

_LIGHT = (
    "--page:#fff;--text:#1b2230;--muted:#596273;--line:#dde1e7;--soft:#f3f5f8;--accent:#2456c7;--other:#a3480f;"
    "--t0:#b87400;--t1:#2f6ad0;--t2:#6f55cf;--t3:#157e8a;--t4:#2f8350;--t5:#b8433a;"
)
_DARK = (
    "--page:#11151b;--text:#e3e8ef;--muted:#9ca7b7;--line:#2d3643;--soft:#191f28;--accent:#8db2ff;--other:#f0a36b;"
    "--t0:#e0ad4c;--t1:#6b9ff5;--t2:#a996f5;--t3:#4fc0cc;--t4:#62bf85;--t5:#ec7d74;"
)
_TYPES = "".join(f".t{n}{{fill:var(--t{n});stroke:var(--t{n})}}" for n in range(6))
CSS = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:break-word}
main{max-width:47.5rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 1rem;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:2.75rem 0 .5rem}
p{margin:0 0 .75rem}
.verdict{font-size:1.1rem;border-left:4px solid var(--accent);padding:.5rem 0 .5rem 1rem;margin:0 0 1.5rem}
.note,figcaption,caption,summary{color:var(--muted);font-size:.875rem}
.note{margin:.5rem 0 0}
.nothing{padding:1.25rem;background:var(--soft);color:var(--muted);border-radius:6px}
figure{margin:0 0 1.25rem}
figcaption{margin-top:.25rem}
.wide{overflow-x:auto}
.wide:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums;margin:0 0 .5rem}
caption{text-align:left;padding:0 0 .4rem}
th,td{padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);text-align:right;vertical-align:bottom}
th:first-child{text-align:left}
th{font-weight:500}
thead th{color:var(--muted);font-weight:400;line-height:1.3}
tbody th{min-width:6rem;max-width:16rem;overflow-wrap:anywhere}
td{white-space:nowrap}
#summary td{white-space:normal;text-align:left}
#summary th{width:16rem}
#parts th:nth-child(2),#parts td:nth-child(2){text-align:left;white-space:normal;overflow-wrap:anywhere}
#parts tbody th{white-space:nowrap}
strong{font-weight:700}
details{margin:.5rem 0 0}
summary{cursor:pointer}
svg{display:block;max-width:100%;min-width:36rem;height:auto;overflow:visible;font-family:inherit}
svg text{fill:var(--text);stroke:none;font-size:12px}
svg .tick{fill:var(--muted);font-variant-numeric:tabular-nums}
svg .title{font-weight:500}
.grid{stroke:var(--line)}
.axis{stroke:var(--muted)}
.exact{stroke:var(--text);stroke-width:1.2}
.twice{stroke:var(--muted);stroke-dasharray:5 4}
.point{fill-opacity:.55;stroke-width:.5}
.open{fill:none;fill-opacity:0;stroke-width:1.1}
.line{stroke-width:1.8;stroke-linejoin:round}
.line.challenger{stroke:var(--accent)}
.line.baseline{stroke:var(--other);stroke-dasharray:5 4}
.dot{stroke-width:1.2}
.dot.challenger{fill:var(--accent);stroke:var(--accent)}
.dot.baseline{fill:var(--page);stroke:var(--other)}
.miss{stroke-width:3;stroke-opacity:.45}
.low{fill:var(--t3);stroke:var(--t3)}
.median{fill:var(--text);stroke:var(--text)}
.high{fill:var(--t5);stroke:var(--t5)}
"""
    f"{_TYPES}.open{{fill:none}}"
    """
@media print{
 body{font-size:10.5pt}
 main{max-width:none;padding:0}
 figure,tr,.verdict{break-inside:avoid}
 h2{break-after:avoid}
 .wide{overflow:visible}
 svg{min-width:0}
 *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
)
_DIGEST = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"

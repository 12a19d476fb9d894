/* SPDX-License-Identifier: Apache-2.0
 *
 * The style of the page of --html.
 */
#ifndef BUCKLER_TOOLS_EVAL_STYLE_H
#define BUCKLER_TOOLS_EVAL_STYLE_H

static const char page_style[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1b2330;--soft:#5b6676;--rule:#e1e5eb;"
    "--a:#1f5fd0;--b:#c2571a;--mark:#0f8a5f;--area:#fafbfc;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1a2028;--text:#e6eaf0;--soft:#9aa6b5;"
    "--rule:#2c3541;--a:#7fb0ff;--b:#f0a268;--mark:#52d6a3;--area:#161b22;--bad:#ff8a80}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1120px;margin:0 auto;padding:32px 20px 64px}\n"
    "h1{font-size:26px;line-height:1.2;margin:0 0 4px}h2{font-size:19px;margin:0 0 4px}"
    "h3{font-size:14px;margin:0 0 6px}\n"
    "p{margin:0 0 12px}.soft{color:var(--soft)}.bad{color:var(--bad)}code{font:13px ui-monospace,monospace}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px;margin:20px 0}\n"
    ".card,section{background:var(--card);border:1px solid var(--rule);border-radius:10px}\n"
    ".card{padding:14px 16px}.card b{display:block;font-size:25px;line-height:1.25;font-weight:650}"
    ".card span{color:var(--soft);font-size:13px}\n"
    "section{padding:20px;margin:16px 0}\n"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(270px,1fr));gap:16px;margin:14px 0 "
    "4px}\n"
    "svg{width:100%;height:auto;display:block}\n"
    ".area{fill:var(--area);stroke:var(--rule)}.grid{stroke:var(--rule);stroke-width:.7;fill:none}\n"
    ".tick{fill:var(--soft);font-size:10px}.axis{fill:var(--soft);font-size:11px}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.line.a{stroke:var(--a)}.line.b{stroke:var(--b)}\n"
    ".dot.a{fill:var(--a);fill-opacity:.75}.guide{fill:none;stroke:var(--soft);stroke-dasharray:4 4}\n"
    "circle.mark{fill:var(--mark);stroke:var(--card);stroke-width:1.5}path.mark{stroke:var(--mark);"
    "stroke-width:1.5}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:5px 9px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}"
    "th{color:var(--soft);font-weight:550;font-size:12.5px}\n"
    "th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:9em}\n"
    "tbody tr:last-child td{border-bottom:0}td small{color:var(--soft)}\n"
    "details{margin-top:10px}summary{cursor:pointer;font-weight:550}\n"
    ".bar{display:inline-block;width:84px;height:8px;border-radius:4px;background:var(--rule);margin-left:"
    "8px;"
    "overflow:hidden}.bar i{display:block;height:100%;background:var(--a)}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:8px 0 0}dt{font-weight:550}"
    "dd{margin:0;color:var(--soft)}\n"
    "@media print{body{background:#fff}section,.card{break-inside:avoid}}\n";

#endif

"""The report as one HTML page with its figures in it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from urllib.parse import unquote

from dbgsom_core.api import Html, as_label

_PICTURE = re.compile(r'<p><img src="figures/([^"]+)" alt="([^"]*)" ?/?></p>')
_PAGE = re.compile(r'<p><a href="figures/([^"]+)">([^<]*)</a></p>')

_FIGURES = re.compile(r"(?:<figure>.*?</figure>\s*)+", re.DOTALL)


def page(name: str, report: str, figures: Mapping[str, bytes]) -> str:
    """Return a report in markdown as a page that needs no other file.

    Parameters
    ----------
    name : str
        Of the run.
    report : str
        Its HTML is shown as text.
    figures : mapping of str to bytes
        The contents of the files that the report shows or links; others remain links.
    """
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(report)
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")

    def picture(found: re.Match[str]) -> str:
        content = figures.get(unquote(found[1]))
        if content is None:
            return f'<p><a href="figures/{found[1]}">{found[2]}</a></p>'
        data = b64encode(content).decode()
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{found[2]}">'
            f"<figcaption>{found[2]}</figcaption></figure>"
        )

    def frame(found: re.Match[str]) -> str:
        content = figures.get(unquote(found[1]))
        if content is None:
            return found[0]
        shown = Html(content.decode()).frame(title=found[2])
        link = f'<a href="figures/{found[1]}">as a page of its own</a>'
        return f"<h3>{found[2]}</h3>{shown}<p>{link}</p>"

    body = _PAGE.sub(frame, _PICTURE.sub(picture, body))
    body = _FIGURES.sub(lambda found: f'<div class="figures">{found[0]}</div>', body)
    template = (files(__package__) / "page.html").read_text(encoding="utf-8")
    before, between, after = re.split(r"\{\{title\}\}|\{\{body\}\}", template)
    return before + escape(as_label(name, 120)) + between + body + after

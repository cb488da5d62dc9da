"""``python -m tools.observability``: write what is made from code."""

from tools.observability.files import DEPLOY, made

if __name__ == "__main__":
    for name, text in made().items():
        path = DEPLOY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

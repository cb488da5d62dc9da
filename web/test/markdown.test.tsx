import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import Markdown from "../src/features/conversation/Markdown";

const html = (text: string, streaming = false): string => renderToStaticMarkup(<Markdown text={text} streaming={streaming} />);

test("prose, emphasis, lists, tables and code become what they mean", () => {
  const text = "# Title\n\nSome **bold** `code`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nprint(1)\n```\n";
  const out = html(text);
  for (const piece of ["<h1>Title</h1>", "<strong>bold</strong>", "<li>one</li>", "<td>1</td>", "print(1)</code></pre>"]) {
    expect(out).toContain(piece);
  }
});

test.each([true, false])("raw HTML is text, never elements (streaming: %s)", (streaming) => {
  const out = html("Hi <img src=x onerror=alert(1)> <script>alert(2)</script>\n\n<iframe src='//evil'></iframe>", streaming);
  expect(out).not.toMatch(/<(img|script|iframe)/);
  expect(out).toContain("&lt;script&gt;");
});

test("no image leaves the origin, and no data image either", () => {
  for (const source of ["https://evil.test/?d=secret", "//evil.test/x.png", "data:image/png;base64,AAAA", "http://localhost.evil.test/x"]) {
    expect(html(`![alt](${source})`)).not.toContain("<img");
  }
  expect(html("![alt](/picture.png)")).toContain("<img");
});

test("links carry no referrer and only harmless schemes", () => {
  expect(html("[a](https://example.org/x)")).toMatch(/href="https:\/\/example\.org\/x"[^>]*rel="noopener noreferrer nofollow"/);
  for (const target of ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "JAVASCRIPT:alert(1)"]) {
    expect(html(`[a](${target})`)).not.toContain("href");
  }
});

test("a half-written answer is shown as far as it goes", () => {
  expect(html("Some **bo", true)).toContain("bo");
  expect(html("```js\nlet a", true)).toContain("let a");
});

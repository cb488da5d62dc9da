/** Stands in for `rehype-raw` in the build: the page shows HTML as text, and the parser would be a third of its code. */
export default function noRawHtml(): void {}

/**
 * An answer's text as Markdown. A model's text is not trusted: raw HTML is shown as text, images come from the
 * page's own origin only (a foreign image's address would carry data away), links need a click and tell nothing.
 */
import { harden } from "rehype-harden";
import { Streamdown } from "streamdown";
import type { ComponentProps } from "react";
import type { Components, StreamdownProps } from "streamdown";

const LINK = /^(https?:|mailto:|#|\/(?!\/))/i;
const OWN_LINE = /\n$/;

type Piece<T extends "a" | "img" | "code" | "pre"> = ComponentProps<T> & { node?: unknown };

const plain = (name: string) =>
  function Plain({ node: _, children, className: __, ...props }: { node?: unknown; children?: unknown; className?: string }) {
    const Tag = name as "p";
    return <Tag {...(props as object)}>{children as string}</Tag>;
  };

function Link({ node: _, className: __, href, children }: Piece<"a">) {
  if (!href) return <>{children}</>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
      {children}
    </a>
  );
}

function Image({ src, alt }: Piece<"img">) {
  return <img src={src} alt={alt ?? ""} loading="lazy" referrerPolicy="no-referrer" />;
}

function Code({ children }: Piece<"code">) {
  return <code>{typeof children === "string" ? children.replace(OWN_LINE, "") : children}</code>;
}

function Block({ children }: Piece<"pre">) {
  return <pre tabIndex={0}>{children}</pre>;
}

const PLAIN = "p h1 h2 h3 h4 h5 h6 ul ol li blockquote hr strong table thead tbody tr th td sup sub section".split(" ");

const COMPONENTS: Components = {
  ...Object.fromEntries(PLAIN.map((name) => [name, plain(name)])),
  a: Link,
  img: Image,
  code: Code,
  inlineCode: Code,
  pre: Block,
};

/** Only what may be followed or loaded; `javascript:` and the like disappear. */
function safeUrl(url: string): string {
  return LINK.test(url) ? url : "";
}

function hardening(origin: string): NonNullable<StreamdownProps["rehypePlugins"]> {
  const images = { allowedImagePrefixes: [`${origin}/`], allowDataImages: false, imageBlockPolicy: "text-only" };
  return [[harden, { defaultOrigin: origin, allowedLinkPrefixes: ["*"], linkBlockPolicy: "text-only", ...images }]];
}

const ORIGIN = typeof location === "undefined" ? "http://localhost" : location.origin;
const REHYPE = hardening(ORIGIN);

export default function Markdown({ text, streaming }: { text: string; streaming: boolean }) {
  return (
    <Streamdown
      className="answer"
      mode={streaming ? "streaming" : "static"}
      controls={false}
      components={COMPONENTS}
      rehypePlugins={REHYPE}
      urlTransform={safeUrl}
      linkSafety={{ enabled: false }}
    >
      {text}
    </Streamdown>
  );
}

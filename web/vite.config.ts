import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const NO_RAW_HTML = fileURLToPath(new URL("src/features/conversation/noRawHtml.ts", import.meta.url));
const GATEWAY = "http://127.0.0.1:8000";

export default defineConfig({
  base: "/",
  resolve: { alias: { "rehype-raw": NO_RAW_HTML } },
  plugins: [react(), tailwindcss()],
  // The page's policy forbids data: scripts and fonts; small assets stay files of the origin.
  build: { outDir: "dist", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 600 },
  server: { proxy: { "/api": { target: GATEWAY, ws: true } } },
});

// A browser, the built page on a web server of its own, and what is the same on all pages.

import { strict as assert } from 'node:assert';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';
import { PATIENCE_MS, set } from './peers.mjs';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.wasm': 'application/wasm' };

/** Serves the built files on loopback, on a port of its own or the one that others know. */
async function serve() {
  const folder = set('TOMBOLO_PAGE');
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://page').pathname);
    const file = join(folder, path === '/' ? 'index.html' : path);
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' });
    response.end(readFileSync(file));
  });
  await new Promise(resolve => server.listen(Number(process.env.TOMBOLO_PAGE_PORT ?? 0), '127.0.0.1', resolve));
  return server;
}

/** A browser whose pages are of this kind of `Page`. */
export async function start(Kind) {
  const server = await serve();
  const profile = mkdtempSync(join(tmpdir(), 'tombolo-browser-'));
  const browser = await chromium.launch({
    executablePath: set('TOMBOLO_CHROMIUM'),
    // Chromium's sandbox refuses to run as root.
    chromiumSandbox: process.getuid() !== 0,
    args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    env: { ...process.env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
  });
  const address = `http://127.0.0.1:${server.address().port}/`;
  return {
    /** A page of somebody who was never here, at a peer. */
    async open(peer, more = {}, addressEnds = '') {
      const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, colorScheme: 'light', locale: 'en-GB', ...more });
      context.setDefaultTimeout(PATIENCE_MS);
      // Nothing but this machine: a provider's page may want fonts from somewhere.
      await context.route(({ protocol, hostname }) => protocol.startsWith('http') && hostname !== '127.0.0.1', route => route.abort());
      const page = await context.newPage();
      const shown = new Kind(page, address);
      await page.goto(`${address}?peer=${encodeURIComponent(peer)}&database=${set('TOMBOLO_DATABASE')}${addressEnds}`);
      return shown;
    },
    async stop() {
      await browser.close();
      server.closeAllConnections();
      server.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A page of an example. */
export class Page {
  /** What the page complained of, and whom it asked that it should not. */
  complaints = [];

  constructor(page, address) {
    this.page = page;
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(message.text());
    });
    page.on('pageerror', error => this.complaints.push(String(error)));
    page.on('request', request => {
      const { hostname } = new URL(request.url());
      if (hostname !== '127.0.0.1' && !request.url().startsWith('data:')) this.complaints.push(`asks ${request.url()}`);
    });
    this.address = address;
    this.link = page.locator('.link');
    this.sync = page.getByTestId('sync');
    this.ownName = page.getByTestId('own-name');
  }

  async picture(name) {
    const folder = set('TOMBOLO_PICTURES');
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`) });
  }

  /** Nothing sticks out to the side. */
  async fits() {
    const [inner, outer] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(inner <= outer, `${inner} pixels wide in ${outer}`);
  }
}

// What a case does on a page of the notes.

import { Page } from './pages.mjs';
import { becomes } from './peers.mjs';

/** The notes on one page. */
export class Notes extends Page {
  constructor(page, address) {
    super(page, address);
    this.box = page.locator('textarea');
    this.unsent = page.getByTestId('unsent');
  }

  text() {
    return this.box.inputValue();
  }

  /** Makes a note and opens it. */
  async make(title) {
    await this.page.getByRole('textbox', { name: 'Make a note' }).fill(title);
    await this.page.getByRole('textbox', { name: 'Make a note' }).press('Enter');
    await this.opened(title);
  }

  async open(title) {
    await this.page.getByRole('navigation').getByRole('button', { name: title }).click();
    await this.opened(title);
  }

  /** Waits until one can write in a note. */
  async opened(title) {
    await becomes(() => this.page.getByRole('heading', { level: 1 }).textContent(), title);
    await becomes(() => this.box.evaluate(box => box.readOnly), false);
  }

  async setName(name) {
    await this.page.getByRole('button', { name: 'Change your name' }).click();
    await this.page.getByRole('textbox', { name: 'Your name' }).fill(name);
    await this.page.keyboard.press('Enter');
    await becomes(() => this.ownName.textContent(), name);
  }

  /** Puts the cursor behind some words, or marks them. */
  async cursor(words, marked = false) {
    await this.box.evaluate((box, [words, marked]) => {
      const at = box.value.indexOf(words);
      if (at < 0) throw new Error(`"${words}" is not in "${box.value}"`);
      box.focus();
      box.setSelectionRange(marked ? at : at + words.length, at + words.length);
    }, [words, marked]);
  }

  /** What is marked, and where: `[start, end]`. */
  selection() {
    return this.box.evaluate(box => [box.selectionStart, box.selectionEnd]);
  }

  /** Types behind some words, key by key. */
  async type(words, text) {
    await this.cursor(words);
    await this.page.keyboard.type(text);
  }

  /**
   * Types at the end, each letter by itself, by the browser's own way of putting typed text into a box, with all the events of
   * it. Faster than anybody: the page gets to do other work, and to paint, after every eighth.
   */
  async typeFast(text) {
    await this.box.evaluate(async (box, text) => {
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
      for (const [index, letter] of [...text].entries()) {
        document.execCommand('insertText', false, letter);
        if (index % 8 !== 7) continue;
        await new Promise(resolve => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = resolve;
          port2.postMessage(0);
        });
      }
    }, text);
  }

  /** Types behind some words, so that each letter becomes a change of its own: that of a box that is left is not waited for. */
  async typeApart(words, text) {
    await this.cursor(words);
    await this.box.evaluate((box, text) => {
      for (const letter of text) {
        document.execCommand('insertText', false, letter);
        box.dispatchEvent(new FocusEvent('blur'));
      }
    }, text);
  }

  /** Whether the peer has all that was typed. */
  async allSent() {
    await becomes(() => this.unsent.getAttribute('data-unsent'), 'false');
  }

  /** The names of who reads this note. */
  here() {
    return this.page.locator('section .person .cut-off').allTextContents();
  }

  /** Where others' cursors are drawn, by name. */
  carets() {
    return this.page.locator('.caret').evaluateAll(all => Object.fromEntries(all.map(({ dataset }) => [dataset.name, Number(dataset.at)])));
  }
}

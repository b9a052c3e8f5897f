// What a case does on a page of the chat.

import { Page } from './pages.mjs';

/** The chat on one page. */
export class Chat extends Page {
  constructor(page, address) {
    super(page, address);
    this.box = page.getByRole('textbox', { name: /^Message/ });
    this.log = page.getByRole('log');
  }

  /** What stands in the room, in order, with who said it. */
  messages() {
    return this.page.locator('.said').evaluateAll(lines => lines.map(line => {
      const name = line.querySelector('.name, .unseen').textContent.replace(/: $/, '');
      return [line.dataset.key, line.querySelector('.text').textContent, line.querySelector('.name') ? name : ''];
    }));
  }

  async texts() {
    return (await this.messages()).map(([, text]) => text);
  }

  /** The marks of the messages that start with these words. */
  async marks(start) {
    const marks = await this.page.locator('.said').evaluateAll((lines, start) => lines
      .filter(line => line.querySelector('.text').textContent.startsWith(start))
      .map(line => line.querySelector('.mark').className), start);
    return marks.map(mark => mark.replace('mark', '').trim());
  }

  /** Where the messages stand, and how high they are. */
  places() {
    return this.page.locator('.said').evaluateAll(lines => lines.map(line => [line.offsetTop, line.offsetHeight]));
  }

  /** The names of who is here. */
  async here() {
    return this.page.locator('section .person .cut-off').allTextContents();
  }

  async say(text) {
    await this.box.fill(text);
    await this.box.press('Enter');
    await this.page.waitForFunction(() => document.querySelector('textarea').value === '');
  }
}

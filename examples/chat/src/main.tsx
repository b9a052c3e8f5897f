import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { Cell } from './cell';
import { rememberPlace, type Place } from './place';
import { placeAfterSignIn } from './provider';
import { Session } from './session';
import './style/base.css';
import './style/layout.css';
import './style/head.css';
import './style/talk.css';
import './style/write.css';

// Outside of React, which may make a component twice: a peer should not be connected to twice.
const { place, problem } = await placeAfterSignIn();
const session = new Cell(new Session(place));

function move(place: Place): void {
  rememberPlace(place);
  session.get().close();
  session.set(new Session(place));
}

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no root');
createRoot(root).render(
  <StrictMode>
    <App current={session} move={move} problem={problem} />
  </StrictMode>,
);

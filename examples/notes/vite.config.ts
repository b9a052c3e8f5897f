import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  // So that the built page can lie in any folder of a web server.
  base: './',
  plugins: [react()],
});

//! Finding what moves: flow, the camera's own motion, and the window with the most residual motion.

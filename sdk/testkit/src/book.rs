//! Every page of the book for authors, so that its listings are compiled and run as tests.

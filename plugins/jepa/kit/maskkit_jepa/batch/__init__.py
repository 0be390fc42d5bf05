"""What a strategy draws: masks as arrays, as numbers, in figures and pictures, and on any library."""

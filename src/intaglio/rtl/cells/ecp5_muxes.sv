// PFUMX and L6MUX21: the multiplexers that join look-up tables to wider ones.
module PFUMX (
  input  ALUT, BLUT, C0,
  output Z
);
  assign Z = C0 ? ALUT : BLUT;
endmodule

module L6MUX21 (
  input  D0, D1, SD,
  output Z
);
  assign Z = SD ? D1 : D0;
endmodule

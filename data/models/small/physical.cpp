// Plays notes by the instruments of the Synthesis ToolKit, as physical.py asks for.
//
//   physical RAWWAVES
//
// Reads requests, one a line: MODEL RATE HZ AMPLITUDE SECONDS SEED [CONTROL VALUE]...
// Answers each with RATE * SECONDS samples of a note that is not let go: mono, float32. Controls are those of the model's
// controlChange(), and those of Picked and Bar below.
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include "BeeThree.h"
#include "BlowBotl.h"
#include "Brass.h"
#include "FMVoices.h"
#include "Flute.h"
#include "ModalBar.h"
#include "Moog.h"
#include "OnePole.h"
#include "PercFlut.h"
#include "Plucked.h"
#include "Rhodey.h"
#include "StifKarp.h"
#include "TubeBell.h"
#include "Twang.h"
#include "VoicForm.h"
#include "Wurley.h"

const double LOWEST_HZ = 15;

// A string that a short burst of noise plucks.
struct Picked : stk::Instrmnt {
  stk::Twang string{LOWEST_HZ};
  stk::OnePole pick;
  stk::Noise noise;
  double left = 0, level = 0, burst_seconds = 0.004;

  void controlChange(int control, double value) override {
    if (control == 1) string.setLoopFilter({1 - value, value});  // 0 rings brightly, 0.5 darkest
    if (control == 2) pick.setPole(value);                       // 0 a plectrum, near 1 a thumb
    if (control == 3) burst_seconds = value;
    if (control == 4) string.setPluckPosition(value);
    if (control == 11) string.setLoopGain(value);
  }
  void noteOn(double hz, double amplitude) override {
    string.setFrequency(hz);
    left = burst_seconds * stk::Stk::sampleRate();
    level = amplitude;
  }
  void noteOff(double) override {}
  double tick(unsigned int) override { return string.tick(left-- > 0 ? level * pick.tick(noise.tick()) : 0.0); }
  stk::StkFrames& tick(stk::StkFrames& frames, unsigned int) override { return frames; }
};

// A bar with modes of its own: 300 + mode sets its frequency by that of the note, 310 + mode the seconds to 1/e.
struct Bar : stk::ModalBar {
  void controlChange(int control, double value) override {
    if (control < 300) return stk::ModalBar::controlChange(control, value);
    if (control < 310) ratios_[control - 300] = value;
    else radii_[control - 310] = std::exp(-1 / (value * stk::Stk::sampleRate()));
  }
};

template <class Model> std::unique_ptr<stk::Instrmnt> made() { return std::make_unique<Model>(); }
template <class Model> std::unique_ptr<stk::Instrmnt> tube() { return std::make_unique<Model>(LOWEST_HZ); }

int main(int, char** arguments) {
  const std::map<std::string, std::function<std::unique_ptr<stk::Instrmnt>()>> models = {
      {"Bar", made<Bar>}, {"BeeThree", made<stk::BeeThree>}, {"BlowBotl", made<stk::BlowBotl>},
      {"Brass", tube<stk::Brass>}, {"FMVoices", made<stk::FMVoices>}, {"Flute", tube<stk::Flute>},
      {"Moog", made<stk::Moog>}, {"PercFlut", made<stk::PercFlut>}, {"Picked", made<Picked>},
      {"Plucked", tube<stk::Plucked>}, {"Rhodey", made<stk::Rhodey>}, {"StifKarp", tube<stk::StifKarp>},
      {"TubeBell", made<stk::TubeBell>}, {"VoicForm", made<stk::VoicForm>}, {"Wurley", made<stk::Wurley>}};
  stk::Stk::setRawwavePath(arguments[1]);
  for (std::string line, model; std::getline(std::cin, line);) {
    std::istringstream request(line);
    double rate, hz, amplitude, seconds, value;
    int seed, control;
    request >> model >> rate >> hz >> amplitude >> seconds >> seed;
    stk::Stk::setSampleRate(rate);
    auto instrument = models.at(model)();
    stk::Noise noise(seed);  // of all models: they share rand()
    while (request >> control >> value) instrument->controlChange(control, value);
    instrument->noteOn(hz, amplitude);
    std::vector<float> samples(static_cast<size_t>(rate * seconds));
    for (float& sample : samples) sample = static_cast<float>(instrument->tick(0));
    std::cout.write(reinterpret_cast<char*>(samples.data()), samples.size() * sizeof(float)).flush();
  }
}

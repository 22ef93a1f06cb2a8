package guest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// words is every text of the page in one language. A test checks that every language has every field.
type words struct {
	ReadyHeading, ReadyButton, ReadyHint    string
	OpensFrom, OpensTo, ReadySince          string // %s: a date and time
	OpenedHeading, OpenedLead, OpenedButton string
	OpenedHint                              string // %s: a date and time
	NotReadyHeading, PreparingLead          string
	TooEarlyLead                            string // %s: a date and time
	NoRoomLead, WithheldLead, AskLead       string
	GoneHeading, GoneLead                   string
	UnknownHeading, UnknownLead             string
	LimitHeading, LimitLead                 string // %s: minutes
	UnavailableHeading, UnavailableLead     string
	AgainButton                             string
	CodeButton, CodeHeading, CodeLead       string
	CodeHint                                string // %s: a date and time
	NoCodeHeading, NoCodeLead               string
	StayLabel, AddressLabel                 string
	CheckInLabel, CheckOutLabel, HelpLabel  string
	LocalTime                               string    // %s: a city
	Date                                    string    // {weekday} {day} {month} {year} {time}
	FirstDay                                string    // the first day of a month, "1" in most languages
	Weekdays                                [7]string // Sunday first
	Months                                  [12]string
}

// sprintf fills in the one value of a text.
func (in *words) sprintf(text, value string) string { return fmt.Sprintf(text, value) }

// date writes a date and time in full, in the zone that it has.
func (in *words) date(t time.Time) string {
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = in.FirstDay
	}
	return strings.NewReplacer("{weekday}", in.Weekdays[t.Weekday()], "{day}", day, "{month}", in.Months[t.Month()-1],
		"{year}", strconv.Itoa(t.Year()), "{time}", t.Format("15:04")).Replace(in.Date)
}

// languages are those of the page. The first is for guests who ask for none of them.
var languages = []struct {
	tag   language.Tag
	words *words
}{
	{language.English, &english},
	{language.Spanish, &spanish},
	{language.German, &german},
	{language.French, &french},
	{language.Italian, &italian},
	{language.Portuguese, &portuguese},
}

var matcher = func() language.Matcher {
	tags := make([]language.Tag, len(languages))
	for i, l := range languages {
		tags[i] = l.tag
	}
	return language.NewMatcher(tags)
}()

// languageOf is the language of a page: the guest's, where the PMS says it and the page is written in it, else the
// one that the browser asks for.
func languageOf(r *http.Request, guests string) (string, *words) {
	if tag, err := language.Parse(guests); err == nil {
		if _, i, sure := matcher.Match(tag); sure >= language.High {
			return languages[i].tag.String(), languages[i].words
		}
	}
	_, i := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	l := languages[i]
	return l.tag.String(), l.words
}

var english = words{
	CodeButton: "My phone doesn't open the door", CodeHeading: "Your code",
	CodeLead:      "Enter it on the keypad of the door. If the keypad has a # key, press that afterwards.",
	CodeHint:      "It opens your doors until %s. Please keep it to yourself.",
	NoCodeHeading: "There is no code right now", NoCodeLead: "Please ask the property for help.",
	ReadyHeading: "Your key is ready", ReadyButton: "Get my key",
	ReadyHint: "You need no app. Use the phone that will open the doors.",
	OpensFrom: "It opens your doors from %s.", OpensTo: "It opens your doors until %s.",
	ReadySince:    "It has been ready since %s.",
	OpenedHeading: "Here is your key", OpenedLead: "Tap the button on the phone that will open the doors.",
	OpenedButton:    "Put the key on this phone",
	OpenedHint:      "This button works until %s. After that, open the link you were sent again.",
	NotReadyHeading: "Your key is not ready yet",
	PreparingLead:   "We are preparing it. Please open this page again in a few minutes.",
	TooEarlyLead:    "You can get it from %s.",
	NoRoomLead:      "Your room has not been assigned yet. Please open this page again later.",
	WithheldLead:    "The property still has to confirm something, such as your payment or your check-in.",
	AskLead:         "Please ask the property for help.",
	GoneHeading:     "This link is no longer valid",
	GoneLead:        "The stay is over or was cancelled, or the property has sent you a newer link.",
	UnknownHeading:  "There is no key here", UnknownLead: "Please check that you have copied the whole link.",
	LimitHeading: "Too many attempts", LimitLead: "Please try again in %s minutes.",
	UnavailableHeading: "That did not work",
	UnavailableLead:    "Please try again in a minute. If it still does not work, ask the property for help.",
	AgainButton:        "Try again",
	StayLabel:          "Your stay", AddressLabel: "Address", CheckInLabel: "Check-in", CheckOutLabel: "Check-out",
	HelpLabel: "Do you need help?",
	LocalTime: "Local time in %s.", Date: "{weekday}, {day} {month} {year}, {time}", FirstDay: "1",
	Weekdays: [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	Months: [12]string{
		"January", "February", "March", "April", "May", "June", "July", "August", "September",
		"October", "November", "December",
	},
}

var spanish = words{
	CodeButton: "Mi teléfono no abre la puerta", CodeHeading: "Su código",
	CodeLead:      "Introdúzcalo en el teclado de la puerta. Si el teclado tiene una tecla #, púlsela después.",
	CodeHint:      "Abre sus puertas hasta el %s. No lo comparta con nadie.",
	NoCodeHeading: "Ahora mismo no hay ningún código", NoCodeLead: "Pida ayuda al alojamiento.",
	ReadyHeading: "Su llave está lista", ReadyButton: "Obtener mi llave",
	ReadyHint: "No necesita ninguna aplicación. Tenga a mano el teléfono con el que abrirá las puertas.",
	OpensFrom: "Abre sus puertas a partir del %s.", OpensTo: "Abre sus puertas hasta el %s.",
	ReadySince:    "Está lista desde el %s.",
	OpenedHeading: "Aquí tiene su llave", OpenedLead: "Toque el botón en el teléfono con el que abrirá las puertas.",
	OpenedButton:    "Guardar la llave en este teléfono",
	OpenedHint:      "Este botón funciona hasta el %s. Después, vuelva a abrir el enlace que recibió.",
	NotReadyHeading: "Su llave todavía no está lista",
	PreparingLead:   "La estamos preparando. Vuelva a abrir esta página dentro de unos minutos.",
	TooEarlyLead:    "Podrá obtenerla a partir del %s.",
	NoRoomLead:      "Todavía no se le ha asignado una habitación. Vuelva a abrir esta página más tarde.",
	WithheldLead:    "El alojamiento aún tiene que confirmar algo, por ejemplo su pago o su registro de entrada.",
	AskLead:         "Pida ayuda al alojamiento.",
	GoneHeading:     "Este enlace ya no es válido",
	GoneLead:        "La estancia ha terminado o se ha cancelado, o el alojamiento le ha enviado un enlace más reciente.",
	UnknownHeading:  "Aquí no hay ninguna llave", UnknownLead: "Compruebe que ha copiado el enlace completo.",
	LimitHeading: "Demasiados intentos", LimitLead: "Vuelva a intentarlo dentro de %s minutos.",
	UnavailableHeading: "No ha funcionado",
	UnavailableLead:    "Vuelva a intentarlo dentro de un minuto. Si sigue sin funcionar, pida ayuda al alojamiento.",
	AgainButton:        "Volver a intentarlo",
	StayLabel:          "Su estancia", AddressLabel: "Dirección", CheckInLabel: "Entrada", CheckOutLabel: "Salida",
	HelpLabel: "¿Necesita ayuda?",
	LocalTime: "Hora local de %s.", Date: "{weekday}, {day} de {month} de {year}, {time}", FirstDay: "1",
	Weekdays: [7]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"},
	Months: [12]string{
		"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre",
		"octubre", "noviembre", "diciembre",
	},
}

var german = words{
	CodeButton: "Mein Telefon öffnet die Tür nicht", CodeHeading: "Ihr Code",
	CodeLead:      "Geben Sie ihn auf dem Tastenfeld der Tür ein. Hat das Tastenfeld eine Taste #, drücken Sie sie danach.",
	CodeHint:      "Er öffnet Ihre Türen bis %s. Bitte geben Sie ihn nicht weiter.",
	NoCodeHeading: "Im Moment gibt es keinen Code", NoCodeLead: "Bitte wenden Sie sich an die Unterkunft.",
	ReadyHeading: "Ihr Schlüssel ist bereit", ReadyButton: "Schlüssel abrufen",
	ReadyHint: "Sie brauchen keine App. Halten Sie das Telefon bereit, mit dem Sie die Türen öffnen möchten.",
	OpensFrom: "Er öffnet Ihre Türen ab %s.", OpensTo: "Er öffnet Ihre Türen bis %s.",
	ReadySince:      "Er ist bereit seit %s.",
	OpenedHeading:   "Hier ist Ihr Schlüssel",
	OpenedLead:      "Tippen Sie auf dem Telefon, mit dem Sie die Türen öffnen möchten, auf die Schaltfläche.",
	OpenedButton:    "Schlüssel auf dieses Telefon laden",
	OpenedHint:      "Diese Schaltfläche funktioniert bis %s. Öffnen Sie danach einfach noch einmal den Link, den Sie erhalten haben.",
	NotReadyHeading: "Ihr Schlüssel ist noch nicht bereit",
	PreparingLead:   "Wir bereiten ihn gerade vor. Bitte öffnen Sie diese Seite in einigen Minuten noch einmal.",
	TooEarlyLead:    "Sie können ihn ab %s abrufen.",
	NoRoomLead:      "Ihnen wurde noch kein Zimmer zugewiesen. Bitte öffnen Sie diese Seite später noch einmal.",
	WithheldLead:    "Die Unterkunft muss noch etwas bestätigen, zum Beispiel Ihre Zahlung oder Ihren Check-in.",
	AskLead:         "Bitte wenden Sie sich an die Unterkunft.",
	GoneHeading:     "Dieser Link ist nicht mehr gültig",
	GoneLead:        "Der Aufenthalt ist vorbei oder wurde storniert, oder die Unterkunft hat Ihnen einen neueren Link geschickt.",
	UnknownHeading:  "Hier gibt es keinen Schlüssel",
	UnknownLead:     "Bitte prüfen Sie, ob Sie den ganzen Link kopiert haben.",
	LimitHeading:    "Zu viele Versuche", LimitLead: "Bitte versuchen Sie es in %s Minuten noch einmal.",
	UnavailableHeading: "Das hat nicht geklappt",
	UnavailableLead:    "Bitte versuchen Sie es in einer Minute noch einmal. Wenn es dann immer noch nicht klappt, wenden Sie sich an die Unterkunft.", AgainButton: "Noch einmal versuchen",
	StayLabel: "Ihr Aufenthalt", AddressLabel: "Adresse", CheckInLabel: "Anreise", CheckOutLabel: "Abreise",
	HelpLabel: "Brauchen Sie Hilfe?",
	LocalTime: "Ortszeit in %s.", Date: "{weekday}, {day}. {month} {year}, {time} Uhr", FirstDay: "1",
	Weekdays: [7]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"},
	Months: [12]string{
		"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
		"November", "Dezember",
	},
}

var french = words{
	CodeButton: "Mon téléphone n’ouvre pas la porte", CodeHeading: "Votre code",
	CodeLead:      "Saisissez-le sur le clavier de la porte. Si le clavier a une touche #, appuyez ensuite dessus.",
	CodeHint:      "Il ouvre vos portes jusqu’au %s. Ne le communiquez à personne.",
	NoCodeHeading: "Aucun code n’est disponible pour le moment", NoCodeLead: "Veuillez demander de l’aide à l’établissement.",
	ReadyHeading: "Votre clé est prête", ReadyButton: "Obtenir ma clé",
	ReadyHint: "Aucune application n’est nécessaire. Gardez à portée de main le téléphone qui ouvrira les portes.",
	OpensFrom: "Elle ouvre vos portes à partir du %s.", OpensTo: "Elle ouvre vos portes jusqu’au %s.",
	ReadySince:    "Elle est prête depuis le %s.",
	OpenedHeading: "Voici votre clé", OpenedLead: "Touchez le bouton sur le téléphone qui ouvrira les portes.",
	OpenedButton:    "Enregistrer la clé sur ce téléphone",
	OpenedHint:      "Ce bouton fonctionne jusqu’au %s. Ensuite, ouvrez à nouveau le lien que vous avez reçu.",
	NotReadyHeading: "Votre clé n’est pas encore prête",
	PreparingLead:   "Nous la préparons. Veuillez rouvrir cette page dans quelques minutes.",
	TooEarlyLead:    "Vous pourrez l’obtenir à partir du %s.",
	NoRoomLead:      "Votre chambre n’a pas encore été attribuée. Veuillez rouvrir cette page plus tard.",
	WithheldLead:    "L’établissement doit encore confirmer quelque chose, par exemple votre paiement ou votre enregistrement.", AskLead: "Veuillez demander de l’aide à l’établissement.",
	GoneHeading:    "Ce lien n’est plus valable",
	GoneLead:       "Le séjour est terminé ou a été annulé, ou l’établissement vous a envoyé un lien plus récent.",
	UnknownHeading: "Il n’y a pas de clé ici", UnknownLead: "Veuillez vérifier que vous avez copié le lien en entier.",
	LimitHeading: "Trop de tentatives", LimitLead: "Veuillez réessayer dans %s minutes.",
	UnavailableHeading: "Cela n’a pas fonctionné",
	UnavailableLead:    "Veuillez réessayer dans une minute. Si cela ne fonctionne toujours pas, demandez de l’aide à l’établissement.", AgainButton: "Réessayer",
	StayLabel: "Votre séjour", AddressLabel: "Adresse", CheckInLabel: "Arrivée", CheckOutLabel: "Départ",
	HelpLabel: "Besoin d’aide ?",
	LocalTime: "Heure locale à %s.", Date: "{weekday} {day} {month} {year} à {time}", FirstDay: "1er",
	Weekdays: [7]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"},
	Months: [12]string{
		"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
		"octobre", "novembre", "décembre",
	},
}

var italian = words{
	CodeButton: "Il mio telefono non apre la porta", CodeHeading: "Il suo codice",
	CodeLead:      "Lo digiti sulla tastiera della porta. Se la tastiera ha un tasto #, lo prema subito dopo.",
	CodeHint:      "Apre le sue porte fino al %s. Non lo comunichi a nessuno.",
	NoCodeHeading: "In questo momento non c’è nessun codice", NoCodeLead: "Chieda aiuto alla struttura.",
	ReadyHeading: "La sua chiave è pronta", ReadyButton: "Ottieni la chiave",
	ReadyHint: "Non serve nessuna app. Tenga a portata di mano il telefono con cui aprirà le porte.",
	OpensFrom: "Apre le sue porte a partire da %s.", OpensTo: "Apre le sue porte fino a %s.",
	ReadySince:    "È pronta da %s.",
	OpenedHeading: "Ecco la sua chiave", OpenedLead: "Tocchi il pulsante sul telefono con cui aprirà le porte.",
	OpenedButton:    "Salva la chiave su questo telefono",
	OpenedHint:      "Questo pulsante funziona fino a %s. In seguito, apra di nuovo il link che ha ricevuto.",
	NotReadyHeading: "La sua chiave non è ancora pronta",
	PreparingLead:   "La stiamo preparando. Riapra questa pagina tra qualche minuto.",
	TooEarlyLead:    "Potrà ottenerla a partire da %s.",
	NoRoomLead:      "La sua camera non è ancora stata assegnata. Riapra questa pagina più tardi.",
	WithheldLead:    "La struttura deve ancora confermare qualcosa, per esempio il pagamento o il check-in.",
	AskLead:         "Chieda aiuto alla struttura.",
	GoneHeading:     "Questo link non è più valido",
	GoneLead:        "Il soggiorno è terminato o è stato annullato, oppure la struttura le ha inviato un link più recente.",
	UnknownHeading:  "Qui non c’è nessuna chiave", UnknownLead: "Controlli di aver copiato tutto il link.",
	LimitHeading: "Troppi tentativi", LimitLead: "Riprovi tra %s minuti.",
	UnavailableHeading: "Non ha funzionato",
	UnavailableLead:    "Riprovi tra un minuto. Se continua a non funzionare, chieda aiuto alla struttura.",
	AgainButton:        "Riprova",
	StayLabel:          "Il suo soggiorno", AddressLabel: "Indirizzo", CheckInLabel: "Arrivo",
	CheckOutLabel: "Partenza",
	HelpLabel:     "Ha bisogno di aiuto?",
	LocalTime:     "Ora locale di %s.", Date: "{weekday} {day} {month} {year}, ore {time}", FirstDay: "1º",
	Weekdays: [7]string{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"},
	Months: [12]string{
		"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre",
		"ottobre", "novembre", "dicembre",
	},
}

var portuguese = words{
	CodeButton: "O meu telemóvel não abre a porta", CodeHeading: "O seu código",
	CodeLead:      "Introduza-o no teclado da porta. Se o teclado tiver uma tecla #, prima-a a seguir.",
	CodeHint:      "Abre as suas portas até %s. Não o partilhe com ninguém.",
	NoCodeHeading: "De momento não há nenhum código", NoCodeLead: "Peça ajuda ao alojamento.",
	ReadyHeading: "A sua chave está pronta", ReadyButton: "Obter a minha chave",
	ReadyHint: "Não é necessária nenhuma aplicação. Tenha à mão o telefone com que vai abrir as portas.",
	OpensFrom: "Abre as suas portas a partir de %s.", OpensTo: "Abre as suas portas até %s.",
	ReadySince:    "Está pronta desde %s.",
	OpenedHeading: "Aqui está a sua chave", OpenedLead: "Toque no botão no telefone com que vai abrir as portas.",
	OpenedButton:    "Guardar a chave neste telefone",
	OpenedHint:      "Este botão funciona até %s. Depois disso, abra novamente o link que recebeu.",
	NotReadyHeading: "A sua chave ainda não está pronta",
	PreparingLead:   "Estamos a prepará-la. Volte a abrir esta página dentro de alguns minutos.",
	TooEarlyLead:    "Poderá obtê-la a partir de %s.",
	NoRoomLead:      "O seu quarto ainda não foi atribuído. Volte a abrir esta página mais tarde.",
	WithheldLead:    "O alojamento ainda tem de confirmar algo, por exemplo o seu pagamento ou o seu check-in.",
	AskLead:         "Peça ajuda ao alojamento.",
	GoneHeading:     "Este link já não é válido",
	GoneLead:        "A estadia terminou ou foi cancelada, ou o alojamento enviou-lhe um link mais recente.",
	UnknownHeading:  "Não há nenhuma chave aqui", UnknownLead: "Verifique se copiou o link completo.",
	LimitHeading: "Demasiadas tentativas", LimitLead: "Tente novamente dentro de %s minutos.",
	UnavailableHeading: "Não funcionou",
	UnavailableLead:    "Tente novamente dentro de um minuto. Se continuar a não funcionar, peça ajuda ao alojamento.",
	AgainButton:        "Tentar novamente",
	StayLabel:          "A sua estadia", AddressLabel: "Morada", CheckInLabel: "Entrada", CheckOutLabel: "Saída",
	HelpLabel: "Precisa de ajuda?",
	LocalTime: "Hora local de %s.", Date: "{weekday}, {day} de {month} de {year}, {time}", FirstDay: "1",
	Weekdays: [7]string{
		"domingo", "segunda-feira", "terça-feira", "quarta-feira", "quinta-feira",
		"sexta-feira", "sábado",
	},
	Months: [12]string{
		"janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro",
		"outubro", "novembro", "dezembro",
	},
}
